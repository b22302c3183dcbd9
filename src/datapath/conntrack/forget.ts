/**
 * Which connections the kernel must forget, so that a client's retransmitted SYN or next datagram is
 * balanced afresh. Established TCP connections are left: a draining task finishes them, and those to
 * a task that died cannot be saved.
 */

import { unreachable } from "../../base/assert.ts";
import { isOfIPv6 } from "../../base/ip-address.ts";
import type { KernelState } from "../desired.ts";
import { TABLE } from "../names.ts";

export type Forget =
  | { readonly kind: "udp-to"; readonly address: string }
  | { readonly kind: "half-open-to"; readonly address: string }
  | { readonly kind: "all-to"; readonly address: string }
  /** Flows to this address that no rule has led anywhere. */
  | { readonly kind: "unled-to"; readonly address: string }
  /** UDP flows to this port that no rule has led anywhere. */
  | { readonly kind: "unled-udp"; readonly port: number; readonly family: 4 | 6 };

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
  const forget: Forget[] = [];
  for (const [name, family] of SERVICES) {
    const before = actual.ruleset.get(TABLE)?.sets.get(name)?.elements;
    const now = desired.ruleset.get(TABLE)?.sets.get(name)?.elements ?? new Map();
    for (const key of now.keys()) {
      if (!key.startsWith("udp . ") || before?.has(key)) continue;
      forget.push({ kind: "unled-udp", port: Number(key.slice("udp . ".length)), family });
    }
  }
  return forget;
}

const SERVICES = [
  ["services", 4],
  ["services6", 6],
] as const;

/** What must be listed to know whether there is anything to forget: arguments of `conntrack -L`. */
export function listingsOf(forget: readonly Forget[]): readonly (readonly string[])[] {
  const listings = new Map<string, readonly string[]>();
  for (const one of forget) {
    for (const listing of listingsOfOne(one)) listings.set(listing.join(" "), listing);
  }
  return [...listings.values()];
}

const UDP = ["-p", "udp"];
const HALF_OPEN = ["SYN_SENT", "SYN_RECV"].map((state) => ["-p", "tcp", "--state", state]);

/** Without a family the tool lists both. */
function listingsOfOne(forget: Forget): readonly (readonly string[])[] {
  switch (forget.kind) {
    case "udp-to":
      return [[...familyOf(forget.address), ...UDP]];
    case "unled-udp":
      return [UDP];
    case "half-open-to":
      return HALF_OPEN.map((listing) => [...familyOf(forget.address), ...listing]);
    case "all-to":
    case "unled-to":
      return [familyOf(forget.address)];
    default:
      return unreachable(forget);
  }
}

function familyOf(address: string): string[] {
  return isOfIPv6(address) ? ["-f", "ipv6"] : [];
}

/**
 * The deletions of the listed flows that are to be forgotten. One for each task that flows go to, since each
 * costs the tool a pass over the kernel's whole table; one for each flow that was led nowhere.
 */
export function deletionsOf(
  forget: readonly Forget[],
  listing: readonly string[],
  saved: string,
): string[][] {
  const addresses = new Set<string>();
  const unled = new Set<string>();
  const ports = new Set<string>();
  for (const one of forget) {
    if (!listingsOfOne(one).some((args) => args.join(" ") === listing.join(" "))) continue;
    if (one.kind === "unled-udp") ports.add(`${one.port}`);
    else if (one.kind === "unled-to") unled.add(one.address);
    else addresses.add(one.address);
  }
  const deletions = new Map<string, string[]>();
  for (const words of flowsOf(saved)) {
    const to = valueOf(words, DESTINATION_NAT);
    const isUnled =
      to === undefined &&
      (ports.has(valueOf(words, "--dport") ?? "") || unled.has(wordAfter(words, "-d") ?? ""));
    const deletion = isUnled
      ? ["-D", ...tupleOf(words)]
      : ["-D", ...listing, ...ledTo(words, to ?? "")];
    if (isUnled || addresses.has(to ?? "")) deletions.set(deletion.join(" "), deletion);
  }
  return [...deletions.values()];
}

/**
 * The flows that were led to this task as this one was. In IPv6 the tool (1.4.7) takes every translation for the one that is
 * named, so there it is told where they were sent, which is to this host, and where the answers come from.
 */
function ledTo(words: readonly string[], to: string): string[] {
  if (!isOfIPv6(to)) return [DESTINATION_NAT, to];
  return ["-d", valueOf(words, "-d") ?? "", "-r", to];
}

/** The option that names where a flow was led. */
const DESTINATION_NAT = "-g";
/** What a saved line says that a deletion must not: how to add it, its timeout, status and mark. */
const NOT_OF_THE_TUPLE = new Set(["-A", "-t", "-u", "-m"]);
const WITHOUT_VALUE = new Set(["-A"]);

/** The flows in the output of `conntrack -L -o save`, as words. */
function flowsOf(saved: string): string[][] {
  const lines = saved.split("\n").map((line) => line.trim().split(/\s+/));
  return lines.filter((words) => words[0] === "-A");
}

/** The address of a translation may carry the port: "10.255.0.9:80", "[fd12::aff:9]:80". */
function valueOf(words: readonly string[], option: string): string | undefined {
  return wordAfter(words, option)?.replace(/^\[(.*)\].*$|^([^:]*):\d+$/, "$1$2");
}

function wordAfter(words: readonly string[], option: string): string | undefined {
  const at = words.indexOf(option);
  return at === -1 ? undefined : words[at + 1];
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
