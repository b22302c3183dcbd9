/** Reads a chain that iptables has made in nftables, out of nft's JSON listing (libnftables-json(5)), in iptables' own words. */
import { isObject, type JsonObject, objectOf, objectsOf, stringOf } from "./json.ts";

export interface ForwardingChain {
  /** What it does with what no rule decides; undefined where it is no chain of a hook. */
  readonly policy: string | undefined;
  /** Its rules that accept by links and by nothing else, as `iptables -S` prints them, without the chain. */
  readonly accepts: readonly string[];
  /** The chains that it leads every packet to. */
  readonly jumps: ReadonlySet<string>;
}

/** Of a chain that is not there it says that it has nothing. */
export function decodeForwarding(listing: unknown): ForwardingChain {
  const objects = isObject(listing) ? objectsOf(listing["nftables"], "nft's listing") : [];
  const chain = objects.map((object) => objectOf(object, "chain")).find((one) => one !== undefined);
  const rules = objects
    .map((object) => objectOf(object, "rule"))
    .filter((rule) => rule !== undefined)
    .map((rule) => objectsOf(rule["expr"] ?? [], "a rule"));
  return {
    policy: chain && stringOf(chain, "policy"),
    accepts: rules.flatMap((rule) => acceptOf(rule) ?? []),
    jumps: new Set(rules.flatMap((rule) => jumpOf(rule) ?? [])),
  };
}

function jumpOf(expressions: readonly JsonObject[]): string | undefined {
  const [only, ...more] = expressions.filter((expression) => !("counter" in expression));
  const jump = more.length === 0 ? objectOf(only ?? {}, "jump") : undefined;
  return jump && stringOf(jump, "target");
}

/** iptables' options, by nftables' keys. */
const OPTIONS: Readonly<Record<string, string>> = { iifname: "-i", oifname: "-o" };

function acceptOf(expressions: readonly JsonObject[]): string | undefined {
  const words: string[] = [];
  for (const expression of expressions) {
    if ("counter" in expression) continue;
    const word = "accept" in expression ? "-j ACCEPT" : linkOf(objectOf(expression, "match"));
    if (word === undefined) return undefined;
    words.push(word);
  }
  return words.at(-1) === "-j ACCEPT" ? words.join(" ") : undefined;
}

function linkOf(match: JsonObject | undefined): string | undefined {
  if (match === undefined || stringOf(match, "op") !== "==") return undefined;
  const key = stringOf(objectOf(objectOf(match, "left") ?? {}, "meta") ?? {}, "key");
  const option = OPTIONS[key ?? ""];
  const link = stringOf(match, "right");
  return option && link && `${option} ${link.replace(/\*$/, "+")}`;
}
