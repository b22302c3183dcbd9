/**
 * Who may reach a published port, and at which of the hosts' addresses: service labels, since nothing else that
 * Docker's CLI and stack files carry has room for it.
 *
 *     weft.publish.allow=192.168.99.0/24,10.1.2.3      of every port of the service
 *     weft.publish.allow.8080=10.0.0.0/8               of this port, instead
 *     weft.publish.address.8080=192.168.99.0/24        answered at addresses in it alone
 *     weft.publish.address.8080=0.0.0.0/0              at all, whatever a node's own default is
 */
import { InvalidParameterError } from "../base/errors.ts";
import { type Cidr, contains, formatAddress, formatCidr, parseCidr } from "./cidr.ts";

const PREFIX = "weft.publish.";
const KEY = /^weft\.publish\.(allow|address)(?:\.(\d{1,5}))?$/;
const PORT_MAX = 65_535;
/** Networks in one label: each is an element of a set in every node's kernel. */
const NETWORKS_MAX = 256;
const FULL_LENGTH = 32;

/** Written where a port is answered at every address. */
export const EVERY_ADDRESS = "0.0.0.0/0";

/** IPv4 networks, none within another, an address as itself. Absent: no limit, or for `boundTo` the node's default. */
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
    parseNetworks(`label ${key}`, value);
  }
}

/** What valid labels say of one port. */
export function publishAccess(
  labels: Readonly<Record<string, string>>,
  publishedPort: number,
): PublishAccess {
  const networks = (what: string) => {
    const keys = [`${PREFIX}${what}.${publishedPort}`, `${PREFIX}${what}`];
    const key = keys.find((one) => labels[one] !== undefined);
    return key === undefined ? undefined : parseNetworks(`label ${key}`, labels[key] ?? "");
  };
  const allowedSources = networks("allow");
  const boundTo = networks("address");
  return {
    ...(allowedSources === undefined ? {} : { allowedSources }),
    ...(boundTo === undefined ? {} : { boundTo }),
  };
}

/** Networks and addresses between commas, none within another; throws what is wrong with them. `what` says whose they are. */
export function parseNetworks(what: string, value: string): readonly string[] {
  const words = value.split(",").map((word) => word.trim());
  if (words.length > NETWORKS_MAX) {
    throw new InvalidParameterError(`${what} has more than ${NETWORKS_MAX} networks`);
  }
  const cidrs = words.map((word) => cidrOf(what, word));
  const outermost = cidrs.filter(
    (one, index) =>
      !cidrs.some(
        (other, at) => at !== index && contains(other, one) && !(same(one, other) && at > index),
      ),
  );
  return outermost.map(spell);
}

function cidrOf(what: string, word: string): Cidr {
  try {
    return parseCidr(word.includes("/") ? word : `${word}/${FULL_LENGTH}`);
  } catch (cause) {
    throw new InvalidParameterError(
      `${what}: "${word}" is neither an IPv4 address nor a network such as 192.168.99.0/24`,
      { cause },
    );
  }
}

function same(a: Cidr, b: Cidr): boolean {
  return a.base === b.base && a.prefixLength === b.prefixLength;
}

function spell(cidr: Cidr): string {
  return cidr.prefixLength === FULL_LENGTH ? formatAddress(cidr.base) : formatCidr(cidr);
}
