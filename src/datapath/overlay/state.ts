/** What `ip` and `bridge` show of users' overlay networks, as data: wanted, or read back, in one shape. */

/** The VXLAN device of a network. */
export interface TunnelLink {
  readonly vni: number;
  readonly port: number;
  readonly local: string;
  readonly learning: boolean;
  /** Answers for the neighbours on it, so that no question for an address leaves the host. */
  readonly proxy: boolean;
  readonly mtu: number;
}

/** What makes a link a port of a network's bridge. */
export interface BridgePort {
  readonly bridge: string;
  readonly learning: boolean;
  /** Whether frames for addresses that the bridge does not know go out here. */
  readonly flood: boolean;
  readonly up: boolean;
}

/**
 * Keys: bridge, tunnel and port, the link's name; entry, "BRIDGE MAC", its value the port; remote, "TUNNEL MAC", its
 * value the underlay address; neighbour, "TUNNEL ADDRESS", its value the MAC address; sysctl, its path below /proc/sys.
 */
export interface OverlayState {
  /** Whether each is up. */
  readonly bridges: ReadonlyMap<string, boolean>;
  readonly tunnels: ReadonlyMap<string, TunnelLink>;
  /** Tunnels, and the containers' links. */
  readonly ports: ReadonlyMap<string, BridgePort>;
  readonly entries: ReadonlyMap<string, string>;
  readonly remotes: ReadonlyMap<string, string>;
  readonly neighbours: ReadonlyMap<string, string>;
  readonly sysctls: ReadonlyMap<string, string>;
}

export const EMPTY_OVERLAYS: OverlayState = {
  bridges: new Map(),
  tunnels: new Map(),
  ports: new Map(),
  entries: new Map(),
  remotes: new Map(),
  neighbours: new Map(),
  sysctls: new Map(),
};

/** "wb001001 02:42:…" as its two words. */
export function wordsOf(key: string): readonly [device: string, what: string] {
  const [device = "", what = ""] = key.split(" ");
  return [device, what];
}
