/** Says in plain words what was wrong with an overlay network, from the command that puts it right. */
import { unreachable } from "../../base/assert.ts";
import type { Drift } from "../describe.ts";
import type { OverlayCommand } from "./command.ts";
import type { OverlayPlan } from "./plan.ts";
import { wordsOf } from "./state.ts";

/** The drifts that a plan mends; what a missing link has taken along is not told one by one. */
export function linkDrifts({ additions, removals }: OverlayPlan): Drift[] {
  const made = new Set(
    additions.flatMap((one) =>
      one.kind === "bridge.add" || one.kind === "tunnel.add" ? [one.name] : [],
    ),
  );
  const moved = additions.flatMap((one) => (one.kind === "port.set" ? [one.name] : []));
  const told = additions.filter((one) => !hangsOn(one, made) && !isEntryOf(one, moved));
  const texts = [...told, ...removals].map(describe);
  return [...new Set(texts)].map((text) => ({ text }));
}

function hangsOn(command: OverlayCommand, made: ReadonlySet<string>): boolean {
  if (command.kind === "port.set") return made.has(command.name) || made.has(command.port.bridge);
  if (command.kind === "sysctl.set") return command.path.split("/").some((part) => made.has(part));
  return "key" in command && (made.has(wordsOf(command.key)[0]) || made.has(command.value));
}

/** A port takes its bridge's entries along when it is taken off. */
function isEntryOf(command: OverlayCommand, ports: readonly string[]): boolean {
  return command.kind === "entry.replace" && ports.includes(command.value);
}

function describe(command: OverlayCommand): string {
  switch (command.kind) {
    case "bridge.add":
    case "tunnel.add":
      return `link ${command.name} was missing`;
    case "bridge.up":
      return `link ${command.name} was down`;
    case "tunnel.set":
      return `link ${command.name} had another MTU or local end`;
    case "port.set":
      return `link ${command.name} was no port of ${command.port.bridge}, or not as it must be`;
    case "link.delete":
      return `link ${command.name} was too many, or not as it must be made`;
    case "sysctl.set":
      return `${command.path.replaceAll("/", ".")} was not ${command.value}`;
    case "entry.replace":
    case "remote.replace":
      return `forwarding entry ${command.key} to ${command.value} was missing or different`;
    case "entry.delete":
    case "remote.delete":
      return `forwarding entry ${command.key} to ${command.value} was too many`;
    case "neighbour.replace":
      return `neighbour ${command.key} was missing or different`;
    case "neighbour.delete":
      return `neighbour ${command.key} was too many`;
    default:
      return unreachable(command);
  }
}
