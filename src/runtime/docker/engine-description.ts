/** The Engine's `GET /info` as the node's description of itself. */
import type { NodeDescription } from "../../cluster/objects.ts";
import { definedOf, numberOf, recordOf, stringOf, stringsOf } from "./decode.ts";

const NANO_CPUS_PER_CPU = 1_000_000_000;
const PLUGIN_TYPES = ["Volume", "Network", "Authorization", "Log"] as const;

export function descriptionOf(answer: unknown): Omit<NodeDescription, "addresses"> {
  const info = recordOf(answer);
  const cpus = numberOf(info["NCPU"]);
  return {
    hostname: stringOf(info["Name"]) ?? "",
    platform: {
      architecture: stringOf(info["Architecture"]) ?? "",
      os: stringOf(info["OSType"]) ?? "",
    },
    resources: definedOf({
      nanoCPUs: cpus === undefined ? undefined : cpus * NANO_CPUS_PER_CPU,
      memoryBytes: numberOf(info["MemTotal"]),
    }),
    engine: {
      engineVersion: stringOf(info["ServerVersion"]) ?? "",
      labels: Object.fromEntries(stringsOf(info["Labels"]).map(labelOf)),
      plugins: pluginsOf(info["Plugins"]),
    },
  };
}

function labelOf(label: string): [string, string] {
  const equals = label.indexOf("=");
  return equals === -1 ? [label, ""] : [label.slice(0, equals), label.slice(equals + 1)];
}

function pluginsOf(value: unknown): NodeDescription["engine"]["plugins"] {
  const plugins = recordOf(value);
  return PLUGIN_TYPES.flatMap((type) => stringsOf(plugins[type]).map((name) => ({ type, name })));
}
