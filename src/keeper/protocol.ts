/**
 * What the daemon and the keeper say to each other: HTTP with JSON on the keeper's own unix socket.
 * The keeper is told a whole desired set each time, never a change, so that telling it twice is harmless. Names alone,
 * of which there may be ten thousand, are told as changes of a revision that both sides know.
 */

import type { NameSetChange } from "./dns/names.ts";

export const KEEPER_SOCKET = "/run/weft/keeper.sock";
export const PLUGIN_SOCKET = "/run/docker/plugins/weft.sock";
/** Weft's network driver and IPAM driver on the local Engine. The plugin socket is named for it. */
export const PLUGIN_NAME = "weft";

export interface PortRequest {
  readonly protocol: "tcp" | "udp";
  readonly port: number;
}

/** `held`: bound by the keeper. `busy`: some process has it; the keeper tries again every second and says so when it got it. */
export type PortHold =
  | (PortRequest & { readonly state: "held" })
  | (PortRequest & { readonly state: "busy"; readonly reason: string });

/** An endpoint that the Engine made through the plugin. */
export interface KeeperEndpoint {
  readonly networkID: string;
  readonly endpointID: string;
  /** Without prefix length. */
  readonly address: string;
  /** Of an overlay network that has IPv6, without prefix length. */
  readonly addressIPv6?: string;
  /** The host's end of the veth pair. */
  readonly link: string;
  /** Of an overlay network: its VXLAN network identifier. Absent for the mesh's own network, whose links are routed to. */
  readonly vni?: number;
  /** The network namespace's file that the Engine makes for the container; it may not be there yet. Only while joined. */
  readonly sandboxKey?: string;
  readonly state: "created" | "joined";
}

export interface KeeperStatus {
  readonly version: string;
  readonly pid: number;
  /** Which network namespace it serves, as /proc/self/ns/net names it: a daemon of another one must not use it. */
  readonly networkNamespace: string;
  /** Where its state is: a daemon with another data directory must not use it. */
  readonly dataDir: string;
  readonly ports: readonly PortHold[];
  readonly endpoints: readonly KeeperEndpoint[];
}

export type KeeperEvent =
  | { readonly kind: "ports"; readonly ports: readonly PortHold[] }
  | { readonly kind: "endpoints"; readonly endpoints: readonly KeeperEndpoint[] };

/** The daemon's side of the keeper. */
export interface KeeperClient {
  status(): Promise<KeeperStatus>;
  /** Holds exactly these ports; resolves with how each one went, after the attempt to bind. */
  holdPorts(ports: readonly PortRequest[]): Promise<readonly PortHold[]>;
  /** Changes a set of names; rejects with a conflict when it is none of what the keeper has: then the whole set is to be told. */
  changeNames(change: NameSetChange): Promise<void>;
  /** Forgets every other set of names. */
  keepNames(sets: readonly string[]): Promise<void>;
  /** The whole state at once, then at each change, until the signal or the keeper's end. */
  events(signal: AbortSignal): AsyncIterable<KeeperEvent>;
  /** Ends the keeper, which lets go of all ports; resolves when it has. */
  stop(): Promise<void>;
}
