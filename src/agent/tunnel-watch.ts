/**
 * Whether packets pass through the tunnel to each peer, small and full-size ones, and arrive with right checksums: one
 * peer after the other, at a leisurely pace, since it is a fault of networks and firewalls that is looked for. A peer is
 * ailing when it did not answer twice running.
 */
import type { Clock, Timer } from "../base/clock.ts";
import type { Startable } from "../base/lifecycle.ts";
import { LINK } from "../datapath/names.ts";
import { type RunTool, runTool } from "../datapath/run.ts";
import type { MeshNode } from "../datapath/view.ts";
import { checksumsArrive } from "./checksum-probe.ts";
import { heardByConntrack, type LastHeard } from "./tunnel-hearing.ts";

/** One peer is asked in this time. */
const LOOK_MS = 10_000;
/** A peer that has not answered is asked again, and one that was never asked, after this. */
const AGAIN_MS = 2_000;
/** IPv4 and ICMP headers, which ping's size leaves out. */
const PING_OVERHEAD = 28;

/** A peer that was heard itself since it does not answer is heard still for so long: it may have many to ask. */
const HEARD_MS = 300_000;
/** What was heard while the first packets were lost may have come before the fault. */
const FAULT_MS = 1_000;

/** No packet passes; none there, while the peer's own arrive here; only small ones; only those without a checksum. */
export const TUNNEL_AILMENTS = ["tunnel", "oneway", "mtu", "checksum"] as const;
export type TunnelAilment = (typeof TUNNEL_AILMENTS)[number];

export interface TunnelWatchComponents {
  readonly clock: Clock;
  /** Peers that should answer: members that are not held for dead. */
  readonly peers: () => readonly MeshNode[];
  readonly onChange: () => void;
  readonly run?: RunTool;
  /** The tunnel's MTU; undefined while there is no tunnel. */
  readonly readMTU?: () => Promise<number | undefined>;
  /** Whether datagrams to this address arrive with their checksums; undefined where it cannot be told. */
  readonly checksums?: (address: string, signal: AbortSignal) => Promise<boolean | undefined>;
  readonly lastHeard?: LastHeard;
}

interface Seen {
  readonly found: TunnelAilment | undefined;
  /** How often running it was found. */
  readonly times: number;
  /** When it was found first of these times. */
  readonly since: number;
  /** When the peer was heard last since then, though it did not answer. */
  readonly heardAt?: number;
}

export class TunnelWatch implements Startable {
  readonly #components: TunnelWatchComponents;
  readonly #seen = new Map<string, Seen>();
  #last = "";
  #mtu: number | undefined;
  #isAmiss = true;
  #timer: Timer | undefined;
  #look: Promise<void> = Promise.resolve();
  readonly #stopping = new AbortController();

  constructor(components: TunnelWatchComponents) {
    this.#components = components;
  }

  start(): void {
    this.#arm(AGAIN_MS);
  }

  /** Does not wait for answers: where none come that would be seconds, and a daemon's restart as long. */
  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#timer?.cancel();
    await this.#look;
  }

  /** By node. */
  ailments(): ReadonlyMap<string, TunnelAilment> {
    const found = [...this.#seen].flatMap(([nodeID, seen]) =>
      seen.found !== undefined && seen.times > 1 ? [[nodeID, seen.found] as const] : [],
    );
    return new Map(found);
  }

  #arm(delayMs: number): void {
    this.#timer = this.#components.clock.timer("tunnel-watch", delayMs, () => {
      this.#look = this.#lookOnce()
        // A host without ping cannot tell; `weft doctor` says so.
        .catch(() => LOOK_MS)
        .then((nextMs) => {
          if (!this.#stopping.signal.aborted) this.#arm(nextMs);
        });
    });
  }

  /** Asks one peer; resolves with when to ask the next. */
  async #lookOnce(): Promise<number> {
    const { peers, onChange, run = runTool } = this.#components;
    const { readMTU = () => tunnelMTU(run) } = this.#components;
    const all = peers();
    const ids = new Set(all.map(({ nodeID }) => nodeID));
    for (const nodeID of this.#seen.keys()) if (!ids.has(nodeID)) this.#seen.delete(nodeID);
    const peer = this.#next(all);
    // It follows the uplink's, so it is read anew where something is amiss.
    if (this.#isAmiss) this.#mtu = await readMTU();
    const mtu = this.#mtu;
    if (peer === undefined || mtu === undefined) return LOOK_MS;
    const before = this.#seen.get(peer.nodeID);
    const seen = await this.#judge(peer, mtu, before);
    this.#stopping.signal.throwIfAborted();
    const { found } = seen;
    this.#seen.set(peer.nodeID, seen);
    this.#last = peer.nodeID;
    this.#isAmiss = found !== undefined;
    if (seen.times <= 2 || before?.found !== found) onChange();
    const isWell = found === undefined && this.#seen.size === all.length;
    return isWell && this.ailments().size === 0 ? LOOK_MS : AGAIN_MS;
  }

  /** A peer whose first answer is missing is asked again; then who was never asked; then the next in turn. */
  #next(all: readonly MeshNode[]): MeshNode | undefined {
    const isDoubtful = ({ nodeID }: MeshNode) => {
      const seen = this.#seen.get(nodeID);
      return seen?.found !== undefined && seen.times === 1;
    };
    const at = all.findIndex(({ nodeID }) => nodeID === this.#last);
    return (
      all.find(isDoubtful) ??
      all.find(({ nodeID }) => !this.#seen.has(nodeID)) ??
      all[(at + 1) % all.length]
    );
  }

  /** What is found, and for how long now. That the way back is open is said of the same fault, a look later. */
  async #judge(peer: MeshNode, mtu: number, before: Seen | undefined): Promise<Seen> {
    const { clock, lastHeard = heardByConntrack(this.#components.run) } = this.#components;
    const askedAt = clock.monotonic();
    const found = await this.#ask(peer, mtu);
    const isSame = (one: TunnelAilment | undefined) =>
      (one === "oneway" ? "tunnel" : one) === found;
    if (before === undefined || !isSame(before.found)) return { found, times: 1, since: askedAt };
    const { since } = before;
    const times = before.times + 1;
    if (found !== "tunnel") return { found, times, since };
    const now = clock.monotonic();
    const agoMs = await lastHeard(peer.overlayAddress).catch(() => undefined);
    const isHeard = agoMs !== undefined && now - agoMs >= since + FAULT_MS;
    const heardAt = isHeard ? now - agoMs : before.heardAt;
    if (heardAt === undefined || now - heardAt > HEARD_MS) return { found, times, since };
    return { found: "oneway", times, since, heardAt };
  }

  async #ask({ overlayAddress }: MeshNode, mtu: number): Promise<TunnelAilment | undefined> {
    const { clock } = this.#components;
    const { checksums = (address, signal) => checksumsArrive(address, clock, signal) } =
      this.#components;
    if (await this.#answers(overlayAddress, mtu)) {
      // A host that cannot try it cannot tell.
      const arrive = await checksums(overlayAddress, this.#stopping.signal).catch(() => undefined);
      return arrive === false ? "checksum" : undefined;
    }
    return (await this.#answers(overlayAddress)) ? "mtu" : "tunnel";
  }

  /** One of two small packets, or of two that must not be cut on the way. */
  async #answers(address: string, size?: number): Promise<boolean> {
    const { run = runTool } = this.#components;
    const full = size === undefined ? [] : ["-M", "do", "-s", `${size - PING_OVERHEAD}`];
    const args = ["-n", "-q", "-c", "2", "-i", "0.2", "-W", "1", ...full, address];
    return (await run("ping", args, "", this.#stopping.signal)).status === 0;
  }
}

async function tunnelMTU(run: RunTool): Promise<number | undefined> {
  const { status, stdout } = await run("ip", ["-json", "link", "show", "dev", LINK]);
  if (status !== 0) return undefined;
  const [link] = JSON.parse(stdout) as readonly { readonly mtu?: unknown }[];
  return typeof link?.mtu === "number" ? link.mtu : undefined;
}
