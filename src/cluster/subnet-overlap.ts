/** Whether networks of either family are in each other's way. */
import { isOfIPv6 } from "../base/ip-address.ts";
import { overlaps, parseCidr } from "./cidr.ts";
import { overlaps6, parseCidr6 } from "./cidr6.ts";

/** Whether two CIDRs have an address in common; those of different families have none. Throws InvalidParameterError on what is no CIDR. */
export function subnetsOverlap(a: string, b: string): boolean {
  if (isOfIPv6(a) !== isOfIPv6(b)) return false;
  return isOfIPv6(a)
    ? overlaps6(parseCidr6(a), parseCidr6(b))
    : overlaps(parseCidr(a), parseCidr(b));
}
