/**
 * Weft as the Engine's IPAM driver. It keeps no books: addresses are given by the managers, so a pool
 * is no more than its own text, overlapping pools are welcome, and nothing needs to be released.
 */
import { BlockList, isIP, isIPv4, isIPv6 } from "node:net";
import { InvalidParameterError } from "../../base/errors.ts";

/** Of every routed network, off-link and the same on every host; the host's end of each veth pair answers for it. */
export const GATEWAY_ADDRESS = "169.254.1.1";
/** The same for IPv6. */
export const GATEWAY_ADDRESS6 = "fe80::1";
const GATEWAYS = { ipv4: `${GATEWAY_ADDRESS}/32`, ipv6: `${GATEWAY_ADDRESS6}/128` } as const;
/** What a network that has no gateway names as its own: the Engine wants one, and no container ever gets it. */
const NO_GATEWAY = { ipv4: "0.0.0.0/32", ipv6: "::/128" } as const;

export const ADDRESS_SPACE = "weft";

/** A pool's id is its subnet, of a bridged network behind this word. */
const BRIDGED = "bridged:";

interface PoolRequest {
  readonly pool?: string;
  readonly v6: boolean;
  readonly bridged: boolean;
}

export function requestPool({ pool, v6, bridged }: PoolRequest) {
  if (pool === undefined) {
    throw new InvalidParameterError("a network of Weft needs its subnet: name it with --subnet");
  }
  parseSubnet(pool, v6 ? 6 : 4);
  return { PoolID: bridged ? `${BRIDGED}${pool}` : pool, Pool: pool, Data: {} };
}

interface AddressRequest {
  readonly poolID: string;
  readonly address?: string;
  readonly gateway: boolean;
}

export function requestAddress({ poolID, address, gateway }: AddressRequest) {
  const bridged = poolID.startsWith(BRIDGED);
  const subnet = bridged ? poolID.slice(BRIDGED.length) : poolID;
  const { network, prefix, family } = parseSubnet(subnet);
  if (gateway && !bridged) return { Address: GATEWAYS[family], Data: {} };
  if (gateway && address === undefined) return { Address: NO_GATEWAY[family], Data: {} };
  if (address === undefined) {
    throw new InvalidParameterError(
      "no address was asked for: the addresses of Weft's networks are given by its managers, so only tasks of services attach to them; give a container of your own another network",
    );
  }
  const pool = new BlockList();
  pool.addSubnet(network, prefix, family);
  if (isIP(address) !== isIP(network) || !pool.check(address, family)) {
    throw new InvalidParameterError(`address ${address} is not in subnet ${subnet}`);
  }
  const whole = family === "ipv4" ? 32 : 128;
  return { Address: `${address}/${bridged ? prefix : whole}`, Data: {} };
}

interface Subnet {
  readonly network: string;
  readonly prefix: number;
  readonly family: "ipv4" | "ipv6";
}

/** `version`: that which it must be; either when absent. */
function parseSubnet(text: string, version?: 4 | 6): Subnet {
  const [network = "", length = ""] = text.split("/");
  const prefix = Number(length);
  const family = isIPv4(network) ? "ipv4" : "ipv6";
  const isRight = family === "ipv4" ? version !== 6 : isIPv6(network) && version !== 4;
  if (!isRight || !/^\d{1,3}$/.test(length) || prefix > (family === "ipv4" ? 32 : 128)) {
    throw new InvalidParameterError(`${text} is not an IPv${version ?? 4} subnet`);
  }
  return { network, prefix, family };
}
