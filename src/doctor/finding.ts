/** What `weft doctor` says of one thing: how it is, and where it is not well, why that matters and what cures it. */
export const LEVELS = ["ok", "warn", "fail"] as const;
export type Level = (typeof LEVELS)[number];

export interface Finding {
  readonly level: Level;
  /** A word or two: "kernel", "peer n2". */
  readonly about: string;
  /** What was found, in plain words. */
  readonly found: string;
  /** What to do; absent where all is well. */
  readonly cure?: string;
}

export function ok(about: string, found: string): Finding {
  return { level: "ok", about, found };
}

export function warn(about: string, found: string, cure: string): Finding {
  return { level: "warn", about, found, cure };
}

export function fail(about: string, found: string, cure: string): Finding {
  return { level: "fail", about, found, cure };
}

/** 1 when something keeps Weft from working, else 0. */
export function exitCodeOf(findings: readonly Finding[]): number {
  return findings.some(({ level }) => level === "fail") ? 1 : 0;
}

/** A line for each finding, in columns; a cure on a line of its own. */
export function renderFindings(findings: readonly Finding[]): string {
  const width = Math.max(0, ...findings.map(({ about }) => about.length));
  const lines = findings.flatMap(({ level, about, found, cure }) => [
    `${level.padEnd(5)} ${about.padEnd(width)}  ${found}`,
    ...(cure === undefined ? [] : [`${" ".repeat(width + 8)}→ ${cure}`]),
  ]);
  const counts = LEVELS.map((level) => {
    const count = findings.filter((one) => one.level === level).length;
    return `${count} ${level}`;
  });
  return [...lines, "", counts.join(", "), ""].join("\n");
}
