/**
 * Numbers for Prometheus, in its text format 0.0.4. A page of our own rather than a client library: four kinds of line,
 * against a dependency in every daemon's memory whose registry is global. Names and units are by Prometheus'
 * conventions: seconds and bytes, `_total` on what only grows.
 */
export type MetricKind = "counter" | "gauge" | "histogram";

/** One name with all its series, as they are at one moment. */
export interface MetricFamily {
  readonly name: string;
  readonly help: string;
  readonly kind: MetricKind;
  readonly samples: readonly MetricSample[];
}

export interface MetricSample {
  /** Behind the family's name: `_bucket`, `_sum` and `_count` of histograms. */
  readonly suffix?: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly value: number;
}

export const METRICS_CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8";

/** The page; families without samples are left out, so that what ends vanishes. */
export function metricsPage(families: Iterable<MetricFamily>): string {
  let page = "";
  for (const { name, help, kind, samples } of families) {
    if (samples.length === 0) continue;
    page += `# HELP ${name} ${escapeText(help)}\n# TYPE ${name} ${kind}\n`;
    for (const { suffix = "", labels = {}, value } of samples) {
      page += `${name}${suffix}${labelsText(labels)} ${numberText(value)}\n`;
    }
  }
  return page;
}

/** A family of one kind from what is known now. */
export function gauge(
  name: string,
  help: string,
  samples: readonly MetricSample[] | number,
): MetricFamily {
  return { name, help, kind: "gauge", samples: samplesOf(samples) };
}

export function counter(
  name: string,
  help: string,
  samples: readonly MetricSample[] | number,
): MetricFamily {
  return { name, help, kind: "counter", samples: samplesOf(samples) };
}

function samplesOf(samples: readonly MetricSample[] | number): readonly MetricSample[] {
  return typeof samples === "number" ? [{ value: samples }] : samples;
}

/** How often something happened. */
export class Count {
  #value = 0;

  add(n = 1): void {
    this.#value += n;
  }

  get value(): number {
    return this.#value;
  }
}

/** Upper bounds in seconds: from one transaction of nftables to a drain time of minutes. */
const BUCKETS_S = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60];

/** How long something took. */
export class Duration {
  readonly #counts = BUCKETS_S.map(() => 0);
  #count = 0;
  #sumS = 0;

  observe(ms: number): void {
    const seconds = ms / 1_000;
    this.#count += 1;
    this.#sumS += seconds;
    const bucket = BUCKETS_S.findIndex((bound) => seconds <= bound);
    if (bucket !== -1) this.#counts[bucket] = (this.#counts[bucket] ?? 0) + 1;
  }

  family(name: string, help: string): MetricFamily {
    let below = 0;
    const buckets = BUCKETS_S.map((bound, index): MetricSample => {
      below += this.#counts[index] ?? 0;
      return { suffix: "_bucket", labels: { le: String(bound) }, value: below };
    });
    const samples: MetricSample[] = [
      ...buckets,
      { suffix: "_bucket", labels: { le: "+Inf" }, value: this.#count },
      { suffix: "_sum", value: this.#sumS },
      { suffix: "_count", value: this.#count },
    ];
    return { name, help, kind: "histogram", samples };
  }
}

function labelsText(labels: Readonly<Record<string, string>>): string {
  const pairs = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return pairs.length === 0 ? "" : `{${pairs.join(",")}}`;
}

function escapeText(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(value: string): string {
  return escapeText(value).replaceAll('"', '\\"');
}

function numberText(value: number): string {
  if (value === Number.POSITIVE_INFINITY) return "+Inf";
  return value === Number.NEGATIVE_INFINITY ? "-Inf" : String(value);
}
