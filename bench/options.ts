/** The benchmark's command line. */
import { parseArgs } from "node:util";
import { InvalidParameterError } from "../src/base/errors.ts";

export const PARTS = [
  "paths",
  "overlays",
  "scale",
  "networks",
  "control",
  "failures",
  "lists",
  "names",
] as const;
export type Part = (typeof PARTS)[number];

export interface Options {
  readonly parts: readonly Part[];
  readonly isQuick: boolean;
  readonly format: "table" | "json";
  /** Where the chart of the paths goes; none is drawn without. */
  readonly chart: string | undefined;
  readonly help: boolean;
}

export const USAGE = `Usage: node bench/main.ts [OPTIONS]

Measures Weft on hosts of the lab (root): the packet's way beside its limits and its
rivals, overlay networks beside bare VXLAN, thousands of services or networks in one
kernel, the control plane and hosts that fail beside Docker Swarm's, the lists of a
large cluster, and names.

Options:
      --only PART      ${PARTS.slice(0, -1).join(", ")} or names; may be given
                       more than once
      --quick          Fewer rounds and sizes: some minutes
      --format FORMAT  table or json, on standard output (default table)
      --chart FILE     Draw the paths as SVG
`;

export function parseOptions(words: readonly string[]): Options {
  const { values } = parseArgs({
    args: [...words],
    options: {
      only: { type: "string", multiple: true },
      quick: { type: "boolean", default: false },
      format: { type: "string", default: "table" },
      chart: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  const { format, chart, help } = values;
  if (format !== "table" && format !== "json") {
    throw new InvalidParameterError(`--format is table or json, not ${format}`);
  }
  const parts = (values.only ?? PARTS).map(partOf);
  return { parts, isQuick: values.quick, format, chart, help };
}

function partOf(word: string): Part {
  const part = PARTS.find((one) => one === word);
  if (part === undefined) {
    throw new InvalidParameterError(`--only is one of ${PARTS.join(", ")}, not ${word}`);
  }
  return part;
}
