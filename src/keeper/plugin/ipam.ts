/**
 * Weft as the Engine's IPAM driver. It keeps no books: addresses are given by the managers, so a pool
 * is no more than its own text, overlapping pools are welcome, and nothing needs to be released.
 */
import { BlockList, isIPv4 } from "node:net";
import { InvalidParameterError } from "../../base/errors.ts";

/** Of every network, off-link and the same on every host; the host's end of each veth pair answers for it. */
export const GATEWAY_ADDRESS = "169.254.1.1";

export const ADDRESS_SPACE = "weft";

interface PoolRequest {
  readonly pool?: string;
  readonly v6: boolean;
}

export function requestPool(request: PoolRequest) {
  if (request.v6) {
    throw new InvalidParameterError("Weft's networks are IPv4: create this one without --ipv6");
  }
  if (request.pool === undefined) {
    throw new InvalidParameterError("a network of Weft needs its subnet: name it with --subnet");
  }
  parseSubnet(request.pool);
  return { PoolID: request.pool, Pool: request.pool, Data: {} };
}

interface AddressRequest {
  readonly poolID: string;
  readonly address?: string;
  readonly gateway: boolean;
}

export function requestAddress(request: AddressRequest) {
  if (request.gateway) return { Address: `${GATEWAY_ADDRESS}/32`, Data: {} };
  const { address } = request;
  if (address === undefined) {
    throw new InvalidParameterError(
      "no address was asked for: the addresses of Weft's networks are given by its managers, so only tasks of services attach to them; give a container of your own another network",
    );
  }
  const { network, prefix } = parseSubnet(request.poolID);
  const pool = new BlockList();
  pool.addSubnet(network, prefix);
  if (!pool.check(address)) {
    throw new InvalidParameterError(`address ${address} is not in subnet ${request.poolID}`);
  }
  return { Address: `${address}/32`, Data: {} };
}

function parseSubnet(text: string): { network: string; prefix: number } {
  const [network = "", length = ""] = text.split("/");
  const prefix = Number(length);
  if (!isIPv4(network) || !/^\d{1,2}$/.test(length) || prefix > 32) {
    throw new InvalidParameterError(`${text} is not an IPv4 subnet`);
  }
  return { network, prefix };
}
