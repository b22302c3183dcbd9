/** What `ip` and `bridge` print as JSON. */
import { SystemError } from "../../base/errors.ts";
import { type JsonObject, numberOf, objectOf, objectsOf, stringOf } from "../json.ts";
import type { RunTool } from "../run.ts";
import { failures } from "./execute.ts";

/** All objects of a run's listings, whose commands may be `input`. A link that is not there has nothing to list. */
export async function listing(
  run: RunTool,
  tool: "ip" | "bridge",
  args: readonly string[],
  input = "",
): Promise<JsonObject[]> {
  const { status, stdout, stderr } = await run(tool, args, input);
  const what = `${tool} ${args.join(" ")}`;
  const isWithoutLink =
    stderr !== "" && failures(stderr).every((line) => line.includes("Cannot find device"));
  if (status !== 0 && !isWithoutLink) throw new SystemError(`${what} failed: ${stderr.trim()}`);
  // A line for each listing; with nothing to show, some print nothing at all instead of [].
  return stdout
    .split("\n")
    .filter((line) => line.trim() !== "")
    .flatMap((line) => objectsOf(JSON.parse(line), what))
    .filter(isNotEmpty);
}

/** `ip -json` prints {} for what its filter leaves out. */
function isNotEmpty(object: JsonObject): boolean {
  return Object.keys(object).length > 0;
}

/** Of a link, as shown by `ip`; empty for what is none. */
export function nameOf(link: JsonObject): string {
  return stringOf(link, "ifname") ?? "";
}

/** Whether the link is up. */
export function isUp(link: JsonObject): boolean {
  return hasWord(link["flags"], "UP");
}

/** Whether a list that a tool shows, of flags or states, has this one. */
export function hasWord(list: unknown, word: string): boolean {
  return Array.isArray(list) && list.includes(word);
}

/** What is particular to the link's kind, or to a port of its kind of bridge. */
export function detailsOf(link: JsonObject, kind: "info_data" | "info_slave_data"): JsonObject {
  return objectOf(objectOf(link, "linkinfo") ?? {}, kind) ?? {};
}

/** What every VXLAN device shows. */
export function vxlanOf(link: JsonObject) {
  const data = detailsOf(link, "info_data");
  return {
    vni: numberOf(data, "id") ?? 0,
    port: numberOf(data, "port") ?? 0,
    local: stringOf(data, "local") ?? stringOf(data, "local6") ?? "",
    learning: data["learning"] !== false,
    mtu: numberOf(link, "mtu") ?? 0,
  };
}
