/**
 * Which connections the kernel must forget, so that a client's retransmitted SYN or next datagram is
 * balanced afresh. Established TCP connections are left: a draining task finishes them, and those to
 * a task that died cannot be saved.
 */
import { unreachable } from "../../base/assert.ts";
import type { KernelState } from "../desired.ts";
import { TABLE } from "../desired-ruleset.ts";

export type Forget =
  | { readonly kind: "udp-to"; readonly address: string }
  | { readonly kind: "half-open-to"; readonly address: string }
  | { readonly kind: "all-to"; readonly address: string }
  /** UDP flows to this port that no rule has led anywhere. */
  | { readonly kind: "unled-udp"; readonly port: number };

/** What to forget when the kernel goes from `actual` to `desired`. */
export function planForget(actual: KernelState, desired: KernelState): Forget[] {
  return [...goneOrDraining(actual, desired), ...newlyAnswered(actual, desired)];
}

function goneOrDraining(actual: KernelState, desired: KernelState): Forget[] {
  const forget: Forget[] = [];
  for (const [address, before] of actual.endpoints) {
    const now = desired.endpoints.get(address);
    if (now === "live" || now === before) continue;
    forget.push({ kind: "udp-to", address });
    if (now === undefined) forget.push({ kind: "half-open-to", address });
  }
  return forget;
}

function newlyAnswered(actual: KernelState, desired: KernelState): Forget[] {
  const before = actual.ruleset.get(TABLE)?.sets.get("services")?.elements;
  const now = desired.ruleset.get(TABLE)?.sets.get("services")?.elements ?? new Map();
  const forget: Forget[] = [];
  for (const key of now.keys()) {
    if (!key.startsWith("udp . ") || before?.has(key)) continue;
    forget.push({ kind: "unled-udp", port: Number(key.slice("udp . ".length)) });
  }
  return forget;
}

/** The command lines of `conntrack` that delete what needs no looking up. */
export function deletionsOf(forget: Forget): readonly (readonly string[])[] {
  switch (forget.kind) {
    case "udp-to":
      return [["-D", "-p", "udp", "-g", forget.address]];
    case "half-open-to":
      return ["SYN_SENT", "SYN_RECV"].map((state) => [
        ...["-D", "-p", "tcp", "--state", state, "-g", forget.address],
      ]);
    case "all-to":
      return [["-D", "-g", forget.address]];
    case "unled-udp":
      return [];
    default:
      return unreachable(forget);
  }
}

const DESTINATION_NAT = "-g";
/** What a saved line says that a deletion must not: how to add it, its timeout, status and mark. */
const NOT_OF_THE_TUPLE = new Set(["-A", "-t", "-u", "-m"]);
const WITHOUT_VALUE = new Set(["-A"]);

/** Turns the output of `conntrack -L -o save` into deletions of the flows that were not led anywhere. */
export function deletionsOfUnled(saved: string): string[][] {
  const lines = saved.split("\n").map((line) => line.trim().split(/\s+/));
  return lines
    .filter((words) => words[0] === "-A" && !words.includes(DESTINATION_NAT))
    .map((words) => ["-D", ...tupleOf(words)]);
}

function tupleOf(words: readonly string[]): string[] {
  const kept: string[] = [];
  for (let index = 0; index < words.length; index++) {
    const word = words[index] ?? "";
    if (!NOT_OF_THE_TUPLE.has(word)) kept.push(word);
    else if (!WITHOUT_VALUE.has(word)) index++;
  }
  return kept;
}
