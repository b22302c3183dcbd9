/** Reads a metrics page as Prometheus does (text format 0.0.4) and holds it to its conventions. For tests. */
export interface ParsedFamily {
  readonly help: string;
  readonly kind: string;
  /** By labels, as `name{a="b"}`. */
  readonly samples: ReadonlyMap<string, number>;
}

const NAME = /^[a-z_:][a-z0-9_:]*$/;
const SAMPLE = /^([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (-?[0-9.e+-]+|[+-]Inf|NaN)$/;
const LABEL = /^([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\["\\n])*)"(?:,|$)/;
const SUFFIXES = /_(bucket|sum|count)$/;

/** Throws what a line does not keep to. */
export function parseMetrics(page: string): ReadonlyMap<string, ParsedFamily> {
  const families = new Map<string, { help: string; kind: string; samples: Map<string, number> }>();
  if (!page.endsWith("\n")) throw new Error("the last line does not end");
  for (const line of page.slice(0, -1).split("\n")) {
    const comment = /^# (HELP|TYPE) (\S+) (.+)$/.exec(line);
    if (comment !== null) {
      const [, what, name = "", text = ""] = comment;
      const known = families.get(name);
      if (what === "HELP" && known !== undefined) throw new Error(`${name} is there twice`);
      const family = known ?? { help: "", kind: "", samples: new Map<string, number>() };
      families.set(name, what === "HELP" ? { ...family, help: text } : { ...family, kind: text });
      continue;
    }
    const sample = SAMPLE.exec(line);
    if (sample === null) throw new Error(`no sample: ${line}`);
    const [, name = "", labels = "", value = ""] = sample;
    const family = families.get(name) ?? families.get(name.replace(SUFFIXES, ""));
    if (family === undefined) throw new Error(`a sample of no family: ${line}`);
    checkLabels(labels, line);
    const key = labels === "" ? name : `${name}{${labels}}`;
    if (family.samples.has(key)) throw new Error(`a series is there twice: ${line}`);
    family.samples.set(key, Number(value.replace("Inf", "Infinity")));
  }
  for (const [name, family] of families) checkFamily(name, family);
  return families;
}

function checkLabels(text: string, line: string): void {
  const seen = new Set<string>();
  for (let rest = text; rest !== ""; ) {
    const label = LABEL.exec(rest);
    if (label === null) throw new Error(`no labels: ${line}`);
    if (seen.has(label[1] ?? "")) throw new Error(`a label is there twice: ${line}`);
    seen.add(label[1] ?? "");
    rest = rest.slice(label[0].length);
  }
}

function checkFamily(name: string, { help, kind, samples }: ParsedFamily): void {
  if (!NAME.test(name)) throw new Error(`${name} is no name`);
  if (help === "" || kind === "") throw new Error(`${name} has no help or type`);
  if (samples.size === 0) throw new Error(`${name} has no sample`);
  const isTotal = name.endsWith("_total");
  if (isTotal !== (kind === "counter")) throw new Error(`${name}: _total is for counters`);
  if (kind === "histogram") checkHistogram(name, samples);
}

/** Buckets only grow, and the last has all. */
function checkHistogram(name: string, samples: ReadonlyMap<string, number>): void {
  const buckets = [...samples].filter(([key]) => key.startsWith(`${name}_bucket`));
  const counts = buckets.map(([, count]) => count);
  if (counts.some((count, index) => count < (counts[index - 1] ?? 0))) {
    throw new Error(`${name}: buckets shrink`);
  }
  const all = samples.get(`${name}_bucket{le="+Inf"}`);
  if (all === undefined || all !== samples.get(`${name}_count`)) {
    throw new Error(`${name}: the last bucket has not all`);
  }
  if (samples.get(`${name}_sum`) === undefined) throw new Error(`${name} has no sum`);
}
