/**
 * Who may reach a published port, and at which of the hosts' addresses: service labels, since nothing else that
 * Docker's CLI and stack files carry has room for it.
 *
 *     weft.publish.allow=192.168.99.0/24,10.1.2.3      of every port of the service
 *     weft.publish.allow.8080=10.0.0.0/8               of this port, instead
 *     weft.publish.allow=192.168.99.0/24,fd00:1::/64   IPv6 clients come from networks of their own
 *     weft.publish.address.8080=192.168.99.0/24        answered at addresses in it alone
 *     weft.publish.address.8080=eth1,10.0.0.0/8        at those that interface eth1 has, whichever they are
 *     weft.publish.address.8080=0.0.0.0/0              at all, whatever a node's own default is
 */

import { InvalidParameterError, messageOf } from "../base/errors.ts";
import { byFamily } from "../base/ip-address.ts";
import { isLinkName } from "../base/link-name.ts";
import { contains, formatAddress, formatCidr, parseCidr } from "./cidr.ts";
import { type Cidr6, contains6, formatCidr6, formatIPv6, parseCidr6 } from "./cidr6.ts";

const PREFIX = "weft.publish.";
const KEY = /^weft\.publish\.(allow|address)(?:\.(\d{1,5}))?$/;
const PORT_MAX = 65_535;
/** Networks in one label: each is an element of a set in every node's kernel. */
const NETWORKS_MAX = 256;
const FULL_LENGTH = 32;
const FULL_LENGTH6 = 128;

/** Written where a port is answered at every address, of IPv6 too. */
export const EVERY_ADDRESS = "0.0.0.0/0";

/**
 * Networks, none within another, those of IPv4 first, an address as itself; in `boundTo` interfaces' names behind them.
 * Absent: no limit, or for `boundTo` the node's default.
 */
export interface PublishAccess {
  readonly allowedSources?: readonly string[];
  readonly boundTo?: readonly string[];
}

/** Whether a label means to say who may reach a port, rightly or not. */
export function isPublishLabel(key: string): boolean {
  return key.startsWith(PREFIX);
}

/** Throws what is wrong with these labels; all others are somebody else's. */
export function validatePublishLabels(labels: Readonly<Record<string, string>>): void {
  for (const [key, value] of Object.entries(labels)) {
    if (!isPublishLabel(key)) continue;
    const match = KEY.exec(key);
    const port = Number(match?.[2] ?? 1);
    if (match === null || port < 1 || port > PORT_MAX) {
      throw new InvalidParameterError(
        `unknown label ${key}: expected weft.publish.allow or weft.publish.address, with .PORT behind it for one port`,
      );
    }
    parserOf(match[1])(`label ${key}`, value);
  }
}

/** What valid labels say of one port. */
export function publishAccess(
  labels: Readonly<Record<string, string>>,
  publishedPort: number,
): PublishAccess {
  const networks = (what: "allow" | "address") => {
    const keys = [`${PREFIX}${what}.${publishedPort}`, `${PREFIX}${what}`];
    const key = keys.find((one) => labels[one] !== undefined);
    return key === undefined ? undefined : parserOf(what)(`label ${key}`, labels[key] ?? "");
  };
  const allowedSources = networks("allow");
  const boundTo = networks("address");
  return {
    ...(allowedSources === undefined ? {} : { allowedSources }),
    ...(boundTo === undefined ? {} : { boundTo }),
  };
}

function parserOf(what: string | undefined) {
  return what === "address" ? parsePlaces : parseNetworks;
}

/** As `parseNetworks`, and names of interfaces behind those. */
export function parsePlaces(what: string, value: string): readonly string[] {
  const words = wordsOf(what, value);
  const names = [...new Set(words.filter(isLinkName))];
  const networks = words.filter((word) => !isLinkName(word));
  try {
    return networks.length === 0 ? names : [...parseNetworks(what, networks.join()), ...names];
  } catch (error) {
    throw new InvalidParameterError(`${messageOf(error)}, nor an interface such as eth1`, {
      cause: error,
    });
  }
}

/** Networks and addresses between commas, none within another; throws what is wrong with them. `what` says whose they are. */
export function parseNetworks(what: string, value: string): readonly string[] {
  const words = wordsOf(what, value);
  const read = <Network>(wanted: readonly string[], parse: (word: string) => Network) =>
    wanted.map((word) => parsed(what, word, parse));
  const named = byFamily(words);
  const ipv4 = read(named.ipv4, (word) =>
    parseCidr(word.includes("/") ? word : `${word}/${FULL_LENGTH}`),
  );
  const ipv6 = read(named.ipv6, (word) => {
    const cidr = parseCidr6(word.includes("/") ? word : `${word}/${FULL_LENGTH6}`);
    return assertPlain(cidr);
  });
  return [
    ...outermost(ipv4, contains).map((one) =>
      one.prefixLength === FULL_LENGTH ? formatAddress(one.base) : formatCidr(one),
    ),
    ...outermost(ipv6, contains6).map(spell6),
  ];
}

function wordsOf(what: string, value: string): readonly string[] {
  const words = value.split(",").map((word) => word.trim());
  if (words.length > NETWORKS_MAX) {
    throw new InvalidParameterError(`${what} has more than ${NETWORKS_MAX} networks`);
  }
  return words;
}

function parsed<Network>(what: string, word: string, parse: (word: string) => Network): Network {
  try {
    return parse(word);
  } catch (cause) {
    throw new InvalidParameterError(
      `${what}: "${word}" is neither an address nor a network such as 192.168.99.0/24 or fd00:1::/64`,
      { cause },
    );
  }
}

/** Without those within another, and of equal ones the first. */
function outermost<Network>(
  networks: readonly Network[],
  contain: (outer: Network, inner: Network) => boolean,
): Network[] {
  return networks.filter(
    (one, at) =>
      !networks.some(
        (other, index) =>
          index !== at && contain(other, one) && (index < at || !contain(one, other)),
      ),
  );
}

/** IPv4 addresses in IPv6's clothes are on no wire, and tools write them in another way. */
function assertPlain(cidr: Cidr6): Cidr6 {
  const isMapped = cidr.base >> 32n === 0xffffn;
  const isCompatible = cidr.base > 1n && cidr.base >> 32n === 0n;
  if (isMapped || isCompatible) throw new InvalidParameterError("an IPv4 address is meant");
  return cidr;
}

function spell6(one: Cidr6): string {
  return one.prefixLength === FULL_LENGTH6 ? formatIPv6(one.base) : formatCidr6(one);
}
