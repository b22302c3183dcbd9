/** Tables for a terminal, and how figures are written in them. Pure. */

export type Align = "left" | "right";

export interface Column {
  readonly title: string;
  readonly align?: Align;
}

const GAP = "  ";

/** Columns as wide as their widest cell; the last one is not padded. */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
): string {
  const titles = columns.map(({ title }) => title);
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...rows.map((row) => (row[index] ?? "").length)),
  );
  const line = (cells: readonly string[]) =>
    columns
      .map(({ align = "right" }, index) => {
        const [cell, width] = [cells[index] ?? "", widths[index] ?? 0];
        return align === "left" ? cell.padEnd(width) : cell.padStart(width);
      })
      .join(GAP)
      .trimEnd();
  return [titles, ...rows].map(line).join("\n");
}

/** "70,200" from a hundred on, three significant digits below. */
export function figure(value: number): string {
  if (!Number.isFinite(value)) return "–";
  if (Math.abs(value) < 100) return `${Number(value.toPrecision(3))}`;
  const digits = Math.max(0, Math.floor(Math.log10(Math.abs(value))) - 2);
  const rounded = Math.round(value / 10 ** digits) * 10 ** digits;
  return rounded.toLocaleString("en-US");
}

export function ratio(value: number | undefined): string {
  return value === undefined ? "" : value.toFixed(2);
}

/** A spread beside its median, as "±3 %". */
export function spreadOf(summary: { readonly median: number; readonly spread: number }): string {
  if (summary.median === 0) return "";
  return `±${Math.round((100 * summary.spread) / summary.median)} %`;
}

/** "850 µs", "12 ms", "1.42 s". */
export function milliseconds(ms: number): string {
  if (!Number.isFinite(ms)) return "–";
  if (ms < 1) return `${Math.round(ms * 1_000)} µs`;
  if (ms < 1_000) return `${Number(ms.toPrecision(3))} ms`;
  return `${(ms / 1_000).toFixed(2)} s`;
}

export function mebibytes(bytes: number): string {
  return `${figure(bytes / 2 ** 20)} MiB`;
}
