/**
 * A question and the sets of names that its asker may see in, the answer out. Pure but for the shuffling.
 */
import { ipv6OfDigits, isOfIPv6 } from "../../base/ip-address.ts";
import { type Random, randomBelow } from "../../base/random.ts";
import type { Found, NameIndex } from "./name-index.ts";

export interface Question {
  /** As it was asked, without trailing dot. */
  readonly name: string;
  /** As "A", "SRV". */
  readonly type: string;
}

export type AnswerRecord =
  | { readonly type: "A" | "AAAA" | "PTR"; readonly name: string; readonly data: string }
  | {
      readonly type: "SRV";
      readonly name: string;
      readonly data: { readonly target: string; readonly port: number };
    };

/**
 * `data`: what is known, which may be nothing of this type. `nothing`: nobody may have this name but us, and it is
 * nobody's. `foreign`: others are to be asked.
 */
export type Lookup =
  | {
      readonly kind: "data";
      readonly answers: readonly AnswerRecord[];
      readonly additionals: readonly AnswerRecord[];
    }
  | { readonly kind: "nothing" }
  | { readonly kind: "foreign" };

export interface Sight {
  /** In the order in which they are asked. */
  readonly sets: readonly NameIndex[];
  /** Whether a name needs its suffix, and whoever has the suffix is ours: a zone, instead of a container's networks. */
  readonly zone: boolean;
}

const PORT_MAX = 65_535;

const NOTHING_YET: Found = { addresses: [], ports: [] };
const FOREIGN: Lookup = { kind: "foreign" };
const NOTHING: Lookup = { kind: "nothing" };

export function lookUp(sight: Sight, question: Question, random: Random): Lookup {
  const name = question.name.toLowerCase();
  if (question.type === "PTR") {
    const address = addressOfReverse(name);
    if (address !== undefined) return lookUpAddress(sight, question, address);
  }
  let known = false;
  for (const set of sight.sets) {
    const found = findIn(set, name, sight.zone);
    if (found === undefined) continue;
    known = true;
    if (found.addresses.length === 0 && found.ports.length === 0) continue;
    return dataOf(set, question, found, random);
  }
  if (known) return { kind: "data", answers: [], additionals: [] };
  return sight.zone && sight.sets.some(({ suffix }) => isBelow(name, suffix)) ? NOTHING : FOREIGN;
}

function findIn(set: NameIndex, name: string, zone: boolean): Found | undefined {
  const { suffix } = set;
  if (zone && name === suffix) return NOTHING_YET;
  const short = isBelow(name, suffix) ? name.slice(0, -suffix.length - 1) : undefined;
  const inner = short === undefined ? undefined : set.find(short);
  if (!zone) return inner ?? set.find(name) ?? servedIn(set, short) ?? servedIn(set, name);
  if (inner !== undefined) return inner;
  // A port that no task has now is one of a service that there is.
  const service = short === undefined ? undefined : /^_[^.]+\._[^.]+\.(.+)$/.exec(short)?.[1];
  return service === undefined || set.find(service) === undefined ? undefined : NOTHING_YET;
}

/** `_80._tcp.tasks.web`, in a network: what is asked for is the way to a port, and that it is served nobody has said. */
function servedIn(set: NameIndex, name: string | undefined): Found | undefined {
  const [, port, host] = /^_(\d{1,5})\._(?:tcp|udp)\.(.+)$/.exec(name ?? "") ?? [];
  if (host === undefined) return undefined;
  return Number(port) >= 1 && Number(port) <= PORT_MAX ? set.findAt(host, Number(port)) : undefined;
}

function isBelow(name: string, suffix: string): boolean {
  return (
    name.endsWith(suffix) && (name.length === suffix.length || name.at(-suffix.length - 1) === ".")
  );
}

function dataOf(set: NameIndex, question: Question, found: Found, random: Random): Lookup {
  const { name, type } = question;
  if (type === "SRV") return portsOf(set, name, found, random);
  const answers = shuffled(found.addresses, random)
    .map((address) => addressRecord(name, address))
    .filter((record) => type === record.type || type === "ANY");
  return { kind: "data", answers, additionals: [] };
}

/** With the hosts' addresses, so that nobody has to ask for each of them. */
function portsOf(set: NameIndex, name: string, found: Found, random: Random): Lookup {
  const hosts = new Set<string>();
  const answers = shuffled(found.ports, random).map(({ host, port }): AnswerRecord => {
    hosts.add(host);
    return { type: "SRV", name, data: { target: `${host}.${set.suffix}`, port } };
  });
  const additionals = [...hosts].flatMap((host) =>
    (set.find(host)?.addresses ?? []).map((address) =>
      addressRecord(`${host}.${set.suffix}`, address),
    ),
  );
  return { kind: "data", answers, additionals };
}

function addressRecord(name: string, address: string): AnswerRecord {
  return { type: isOfIPv6(address) ? "AAAA" : "A", name, data: address };
}

function lookUpAddress(sight: Sight, question: Question, address: string): Lookup {
  let ours = false;
  for (const set of sight.sets) {
    const names = set.findAddress(address);
    if (names === undefined) continue;
    ours = true;
    if (names.length === 0) continue;
    const answers = names.map(
      (name): AnswerRecord => ({ type: "PTR", name: question.name, data: `${name}.${set.suffix}` }),
    );
    return { kind: "data", answers, additionals: [] };
  }
  return ours ? NOTHING : FOREIGN;
}

/** The address of `5.1.0.10.in-addr.arpa` or of thirty-two digits below `ip6.arpa`, as the kernel would write it. */
export function addressOfReverse(name: string): string | undefined {
  const ipv4 = /^(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.(\d{1,3})\.in-addr\.arpa$/.exec(name);
  if (ipv4 !== null) return ipv4.slice(1).reverse().map(Number).join(".");
  if (!/^(?:[0-9a-f]\.){32}ip6\.arpa$/.test(name)) return undefined;
  const digits = name.slice(0, 64).split(".").reverse().join("");
  return ipv6OfDigits(digits);
}

/** Every order is as likely as any other. */
function shuffled<T>(list: readonly T[], random: Random): readonly T[] {
  if (list.length < 2) return list;
  const result = [...list];
  for (let at = result.length - 1; at > 0; at--) {
    const other = randomBelow(random, at + 1);
    [result[at], result[other]] = [result[other] as T, result[at] as T];
  }
  return result;
}
