/** One way from a client of its own to a task. The paths of a run are asked in turn, round by round. */
import type { Place } from "../../src/lab/place.ts";
import type { Served, Target } from "../loads/load.ts";

export interface Path {
  readonly name: string;
  /** The path that it cannot be faster than; none for the limits themselves. */
  readonly limit: string | undefined;
  readonly client: Place;
  /** Where the client asks; a path lacks what it cannot carry. */
  readonly targets: Readonly<Partial<Record<Served, Target>>>;
}

/** The names, in the order of the tables: each limit before what is measured against it. */
export const ROUTED = "routed";
export const ROUTED_VXLAN = "routed over VXLAN";
export const WEFT_LOCAL = "Weft, local task";
export const WEFT_REMOTE = "Weft, remote task";
export const IPTABLES = "iptables DNAT, remote";
export const HAPROXY = "HAProxy, remote";
export const NGINX_STREAM = "nginx stream, remote";
