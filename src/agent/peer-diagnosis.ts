/** What is wrong between this node and its peers, as its gossip and the tunnel show it, told to the managers when it changes. */
import type { Clock, Timer } from "../base/clock.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { RunTool } from "../datapath/run.ts";
import { tunnelAddressOf } from "../datapath/view.ts";
import type { PeerProblem } from "../dispatcher/assignment.ts";
import type { PeerAilment } from "./gossip-report.ts";
import type { NodeGossip } from "./node-gossip.ts";
import { TunnelWatch } from "./tunnel-watch.ts";

/** The gossip's ailments are looked at this often. */
const LOOK_MS = 5_000;

export interface PeerDiagnosisComponents {
  readonly clock: Clock;
  readonly gossip: NodeGossip;
  readonly onProblems: (problems: readonly PeerProblem[]) => void;
  readonly run?: RunTool;
  readonly readMTU?: () => Promise<number | undefined>;
}

export class PeerDiagnosis implements Startable {
  readonly #components: PeerDiagnosisComponents;
  readonly #tunnel: TunnelWatch;
  #told = "[]";
  #timer: Timer | undefined;

  constructor(components: PeerDiagnosisComponents) {
    const { clock, gossip, run, readMTU } = components;
    this.#components = components;
    this.#tunnel = new TunnelWatch({
      clock,
      peers: () => gossip.peers(),
      onChange: () => this.#look(),
      ...(run === undefined ? {} : { run }),
      ...(readMTU === undefined ? {} : { readMTU }),
    });
  }

  start(): void {
    this.#tunnel.start();
    this.#arm();
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
    await this.#tunnel.stop();
  }

  problems(): readonly PeerProblem[] {
    const tunnel = [...this.#tunnel.ailments()].map(([peer, kind]) => ({ kind, peer }));
    return [...this.#components.gossip.problems(), ...tunnel];
  }

  /** Of the tunnel, by the peers' addresses. */
  tunnelAilments(): readonly PeerAilment[] {
    const ailments = this.#tunnel.ailments();
    return this.#components.gossip.peers().flatMap((peer) => {
      const kind = ailments.get(peer.nodeID);
      return kind === undefined ? [] : [{ kind, host: tunnelAddressOf(peer) }];
    });
  }

  /** To a manager that knows nothing yet. */
  tell(): void {
    const problems = this.problems();
    this.#told = JSON.stringify(problems);
    this.#components.onProblems(problems);
  }

  #arm(): void {
    this.#timer = this.#components.clock.timer("peer-diagnosis", LOOK_MS, () => {
      this.#look();
      this.#arm();
    });
  }

  #look(): void {
    if (JSON.stringify(this.problems()) !== this.#told) this.tell();
  }
}
