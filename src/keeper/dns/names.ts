/**
 * What the daemon tells the keeper to answer for: sets of names, one for each network of this node and one for
 * balancers outside. A set is made of groups, one for each service, container or node, and changes by whole groups.
 */
import { isIP } from "node:net";
import { InvalidParameterError } from "../../base/errors.ts";
import {
  integerIn,
  type JSONObject,
  listOf,
  objectOf,
  optionalString,
  stringField,
  textsOf,
} from "../decode.ts";

/** A port where a name is served: at every address of the host, itself a name of the same set. */
export interface NamedPort {
  readonly host: string;
  readonly port: number;
}

/** Names that lead to one and the same thing. One without any address is known, and answered with no data. */
export interface NameEntry {
  /** In lower case, without the set's suffix: `web`, `tasks.web`. */
  readonly names: readonly string[];
  readonly addresses?: readonly string[];
  /** Names of the same set whose addresses are meant. */
  readonly hosts?: readonly string[];
  /** For SRV. */
  readonly ports?: readonly NamedPort[];
  /** Its addresses are this name's, when asked by address. */
  readonly reverse?: string;
}

export interface NameGroup {
  readonly id: string;
  readonly entries: readonly NameEntry[];
}

/** A change of a set, or with no `base` the whole of it. */
export interface NameSetChange {
  readonly set: string;
  /** What may stand after a name: the network's name, or the zone. */
  readonly suffix: string;
  /** Networks whose addresses are answered for, or known not to have a name, here alone. */
  readonly subnets: readonly string[];
  /** Where anybody may ask for it, as `127.0.0.1:9353`; absent for a network's, which its containers alone are answered. */
  readonly listen?: readonly string[];
  /** The revision that this changes. */
  readonly base?: string;
  readonly revision: string;
  /** More of a whole set comes with this revision as its base; until then the set is answered as before. */
  readonly more?: boolean;
  readonly put: readonly NameGroup[];
  readonly remove: readonly string[];
}

/** The set of an overlay network, by its VNI, as the keeper's endpoints know it. */
export function networkSetID(vni: number): string {
  return `network-${vni}`;
}

/** As many names may a group have in all; a message with more is refused. */
const NAMES_PER_GROUP_MAX = 20_000;
/** A domain name is no longer (RFC 1035 §2.3.4). */
const NAME_CHARACTERS_MAX = 253;

export function decodeNameSetChange(object: JSONObject): NameSetChange {
  const base = optionalString(object, "base");
  const { listen } = object;
  return {
    set: nameSetID(stringField(object, "set")),
    suffix: nameOf(object["suffix"]),
    subnets: textsOf(object["subnets"], "subnets").map(subnetOf),
    revision: stringField(object, "revision"),
    put: listOf(object["put"], "put").map(decodeGroup),
    remove: textsOf(object["remove"], "remove"),
    ...(listen === undefined ? {} : { listen: textsOf(listen, "listen").map(listenerText) }),
    ...(base === undefined ? {} : { base }),
    ...(object["more"] === true ? { more: true } : {}),
  };
}

/** An address and a port to listen at. */
export interface Listener {
  readonly address: string;
  readonly port: number;
}

/** Of `127.0.0.1:9353` or `[fd00::1]:53`; undefined for anything else. */
export function parseListener(text: string): Listener | undefined {
  const match = /^(?:\[([^\]]+)\]|([^:]+)):(\d{1,5})$/.exec(text);
  const address = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3]);
  const family = match?.[1] === undefined ? 4 : 6;
  return isIP(address) === family && port >= 1 && port <= 65_535 ? { address, port } : undefined;
}

function listenerText(text: string): string {
  if (parseListener(text) !== undefined) return text;
  throw new InvalidParameterError(`${text} is not an address and port, as 127.0.0.1:9353`);
}

/** Files are named by it. */
export function nameSetID(text: string): string {
  if (/^[a-z0-9][a-z0-9-]{0,63}$/.test(text)) return text;
  throw new InvalidParameterError(`a set of names cannot have the id ${text}`);
}

export function decodeGroup(value: unknown): NameGroup {
  const object = objectOf(value, "a group of names");
  const entries = listOf(object["entries"], "entries").map(decodeEntry);
  const count = entries.reduce((sum, { names }) => sum + names.length, 0);
  if (count > NAMES_PER_GROUP_MAX) throw new InvalidParameterError(`a group has ${count} names`);
  return { id: stringField(object, "id"), entries };
}

function decodeEntry(value: unknown): NameEntry {
  const object = objectOf(value, "an entry");
  const { addresses, hosts, ports } = object;
  const reverse = optionalString(object, "reverse");
  return {
    names: listOf(object["names"], "names").map(nameOf),
    ...(addresses === undefined ? {} : { addresses: listOf(addresses, "addresses").map(ipOf) }),
    ...(hosts === undefined ? {} : { hosts: listOf(hosts, "hosts").map(nameOf) }),
    ...(ports === undefined ? {} : { ports: listOf(ports, "ports").map(decodePort) }),
    ...(reverse === undefined ? {} : { reverse: nameOf(reverse) }),
  };
}

function decodePort(value: unknown): NamedPort {
  const object = objectOf(value, "a port");
  return { host: nameOf(object["host"]), port: integerIn(object["port"], "port", 1, 65_535) };
}

/** What can be a name and be written into a message: printable, labels of 1 to 63 characters. */
export function isDomainName(text: string): boolean {
  return (
    text.length <= NAME_CHARACTERS_MAX &&
    /^[\x21-\x2d\x2f-\x7e]{1,63}(?:\.[\x21-\x2d\x2f-\x7e]{1,63})*$/.test(text)
  );
}

function nameOf(value: unknown): string {
  if (typeof value === "string" && isDomainName(value)) return value.toLowerCase();
  throw new InvalidParameterError(`${String(value)} is no name that DNS could have`);
}

function ipOf(value: unknown): string {
  if (typeof value === "string" && isIP(value) !== 0) return value;
  throw new InvalidParameterError(`${String(value)} is not an IP address`);
}

function subnetOf(text: string): string {
  const [address = "", length = ""] = text.split("/");
  const bits = isIP(address) === 6 ? 128 : 32;
  if (isIP(address) !== 0 && /^\d{1,3}$/.test(length) && Number(length) <= bits) return text;
  throw new InvalidParameterError(`${text} is not a subnet`);
}
