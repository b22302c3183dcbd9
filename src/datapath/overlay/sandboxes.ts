/**
 * Keeps the virtual IPs of this node's containers in their network namespaces: each is told only of the networks that
 * it is on, and gets only what changed. A container that the Engine is just starting gets its rules as soon as
 * its namespace is there, which is before its first instruction runs.
 */

import type { Clock, Timer } from "../../base/clock.ts";
import { messageOf } from "../../base/errors.ts";
import { byFamily } from "../../base/ip-address.ts";
import type { Logger } from "../../base/logger.ts";
import type { Forget } from "../conntrack/forget.ts";
import type { Drift } from "../describe.ts";
import { driftsOf } from "../describe.ts";
import { decodeTable } from "../nft/decode.ts";
import type { Nft } from "../nft/nft.ts";
import { planTransaction } from "../nft/plan.ts";
import type { Ruleset } from "../nft/ruleset.ts";
import type { NftTransaction } from "../nft/transaction.ts";
import { renderTransaction } from "../nft/transaction.ts";
import type { SandboxEntrance } from "./sandbox-entrance.ts";
import { SANDBOX_LATE_FLOWS_MAX, sandboxLateAnswers } from "./sandbox-late-answers.ts";
import { knownOf, reachedOf, SANDBOX_TABLE, sandboxRules, withNewChains } from "./sandbox-rules.ts";
import type { VirtualIP } from "./virtual-ips.ts";

/** The namespace of a container that starts is looked for so often at first: it is there some ten milliseconds before the program. */
const LOOK_MS = 2;
const LOOK_MS_MAX = 500;
/** After this many looks of one length each, the pause is doubled. */
const LOOKS_OF_A_LENGTH = 500;
/** Namespaces in which something is changed at the same time; others wait. */
const AT_ONCE_MAX = 8;
/** With more endpoints than these the rules of one namespace take more than some milliseconds to be listed. */
const LARGE = 500;
/** An audit reads so many namespaces back, those that waited longest. */
const AUDITED_AT_ONCE_MAX = 4;
/** A namespace that was read back so lately is believed. */
const AUDIT_MS = 30_000;

export interface SandboxesComponents {
  readonly entrance: SandboxEntrance;
  readonly clock: Clock;
  readonly log: Logger;
  /** The containers that have all virtual IPs of their networks are others now. */
  readonly onReady?: () => void;
}

/** One namespace: what it should have, and what it has as far as is known. */
interface Sandbox {
  readonly path: string;
  wanted: readonly VirtualIP[];
  /** Undefined when it must be read back. */
  held: Held | undefined;
  /** It was not there when it was first looked for: so nothing of Weft's is in it yet. */
  isNew: boolean;
  readAt: number;
  turn: Promise<unknown>;
  timer: Timer | undefined;
}

interface Held {
  /** Undefined after reading back. */
  readonly virtualIPs: readonly VirtualIP[] | undefined;
  readonly rules: Ruleset;
  readonly endpoints: ReadonlyMap<string, "live" | "draining">;
}

const NOTHING: Held = { virtualIPs: undefined, rules: new Map(), endpoints: new Map() };

export class Sandboxes {
  readonly #components: SandboxesComponents;
  readonly #sandboxes = new Map<string, Sandbox>();
  #ready: ReadonlySet<string> = new Set();
  #free = AT_ONCE_MAX;
  readonly #waiting: (() => void)[] = [];

  constructor(components: SandboxesComponents) {
    this.#components = components;
  }

  /** Namespaces' files of the containers that have all virtual IPs of their networks. */
  get ready(): ReadonlySet<string> {
    return this.#ready;
  }

  /** Resolves when all namespaces that are there have theirs. One that cannot be changed is said in the log, and keeps no other waiting. */
  async apply(wanted: ReadonlyMap<string, readonly VirtualIP[]>): Promise<void> {
    for (const [path, sandbox] of this.#sandboxes) {
      if (!wanted.has(path)) this.#drop(sandbox);
    }
    const changes: Promise<unknown>[] = [];
    for (const [path, virtualIPs] of wanted) {
      const sandbox = this.#sandboxes.get(path) ?? this.#add(path, virtualIPs);
      sandbox.wanted = virtualIPs;
      if (sandbox.held?.virtualIPs === virtualIPs || sandbox.timer !== undefined) continue;
      changes.push(this.#bring(sandbox));
    }
    await Promise.all(changes);
    this.#tellReady();
  }

  /** Reads some namespaces back and mends what differs. */
  async audit(): Promise<Drift[]> {
    const now = this.#components.clock.monotonic();
    const due = [...this.#sandboxes.values()]
      .filter(({ timer, readAt }) => timer === undefined && now - readAt >= AUDIT_MS)
      .sort((a, b) => a.readAt - b.readAt)
      .slice(0, AUDITED_AT_ONCE_MAX);
    const found = await Promise.all(due.map((sandbox) => this.#audit(sandbox)));
    this.#tellReady();
    return found.flat();
  }

  /** Looks for no more namespaces; what is in them stays. */
  async stop(): Promise<void> {
    const sandboxes = [...this.#sandboxes.values()];
    for (const sandbox of sandboxes) this.#drop(sandbox);
    await Promise.all(sandboxes.map(({ turn }) => turn));
  }

  #add(path: string, wanted: readonly VirtualIP[]): Sandbox {
    const held = undefined;
    const readAt = this.#components.clock.monotonic();
    const turn = Promise.resolve();
    const sandbox: Sandbox = { path, wanted, held, isNew: false, readAt, turn, timer: undefined };
    this.#sandboxes.set(path, sandbox);
    if (!this.#isThere(sandbox)) {
      sandbox.isNew = true;
      this.#look(sandbox, 1);
    }
    return sandbox;
  }

  #drop(sandbox: Sandbox): void {
    sandbox.timer?.cancel();
    this.#sandboxes.delete(sandbox.path);
  }

  #isThere({ path }: Sandbox): boolean {
    return this.#components.entrance.isThere(path);
  }

  #look(sandbox: Sandbox, looks: number): void {
    const length = LOOK_MS * 2 ** Math.floor(looks / LOOKS_OF_A_LENGTH);
    const pause = Math.min(length, LOOK_MS_MAX);
    sandbox.timer = this.#components.clock.timer("sandbox", pause, () => {
      if (!this.#isThere(sandbox)) return this.#look(sandbox, looks + 1);
      sandbox.timer = undefined;
      void this.#bring(sandbox).then(() => this.#tellReady());
    });
  }

  /** One change of a namespace at a time; whatever is wanted when its turn comes. */
  #bring(sandbox: Sandbox): Promise<void> {
    return this.#inTurn(sandbox, async () => {
      const { wanted } = sandbox;
      if (sandbox.held?.virtualIPs === wanted) return;
      try {
        await this.#change(sandbox, wanted);
      } catch (error) {
        sandbox.held = undefined;
        if (!this.#isLive(sandbox)) return;
        // Somebody changed it, or its own programs did: look again, once.
        this.#components.log.debug("a container's rules are read back", { error });
        await this.#change(sandbox, wanted);
      }
    });
  }

  async #audit(sandbox: Sandbox): Promise<readonly Drift[]> {
    let drifts: readonly Drift[] = [];
    await this.#inTurn(sandbox, async () => {
      const endpoints = sandbox.held?.endpoints;
      const found = await this.#read(sandbox);
      sandbox.held = { ...found, endpoints: endpoints ?? found.endpoints };
      drifts = await this.#change(sandbox, sandbox.wanted);
    });
    return drifts;
  }

  /** A container that ends takes its namespace along: that is no failure. */
  async #inTurn(sandbox: Sandbox, work: () => Promise<void>): Promise<void> {
    const turn = sandbox.turn.then(async () => {
      await this.#enter();
      try {
        if (this.#isLive(sandbox)) await work();
      } catch (error) {
        sandbox.held = undefined;
        if (!this.#isLive(sandbox)) return;
        const reason = messageOf(error);
        this.#components.log.error("a container does not get its virtual IPs", {
          sandbox: sandbox.path,
          reason,
        });
      } finally {
        this.#leave();
      }
    });
    sandbox.turn = turn;
    await turn;
  }

  #isLive(sandbox: Sandbox): boolean {
    return this.#sandboxes.get(sandbox.path) === sandbox && this.#isThere(sandbox);
  }

  async #change(sandbox: Sandbox, wanted: readonly VirtualIP[]): Promise<readonly Drift[]> {
    const held = sandbox.held ?? (sandbox.isNew ? NOTHING : await this.#read(sandbox));
    const rules = sandboxRules(wanted, held.rules);
    const endpoints = endpointsOf(wanted);
    const prepared = withNewChains(held.rules, rules);
    const steps = [planTransaction(held.rules, prepared), planTransaction(prepared, rules)];
    sandbox.held = undefined;
    await this.#withNft(sandbox, async (nft) => {
      for (const step of steps) await commit(nft, step);
      await this.#forget(sandbox, nft, forgetsOf(held, { rules, endpoints }), endpoints);
    });
    sandbox.held = { virtualIPs: wanted, rules, endpoints };
    sandbox.isNew = false;
    return driftsIn(sandbox.path, steps.flat());
  }

  async #withNft<T>({ path, wanted }: Sandbox, work: (nft: Nft) => Promise<T>): Promise<T> {
    const weight = wanted.reduce(
      (sum, { live, draining }) => sum + live.length + draining.length,
      0,
    );
    const nft = this.#components.entrance.nft(path, weight > LARGE);
    try {
      return await work(nft);
    } finally {
      await nft.close();
    }
  }

  async #read(sandbox: Sandbox): Promise<Held> {
    const listing = await this.#withNft(sandbox, (nft) => nft.list(`table ${SANDBOX_TABLE}`));
    sandbox.readAt = this.#components.clock.monotonic();
    if (listing === undefined) return NOTHING;
    const rules = new Map([[SANDBOX_TABLE, decodeTable(listing)]]);
    const endpoints = new Map(reachedOf(rules).map((address) => [address, "live" as const]));
    return { virtualIPs: undefined, rules, endpoints };
  }

  /** A connection that is not forgotten is only slower: the change itself stands. */
  async #forget(
    { path }: Sandbox,
    nft: Pick<Nft, "run">,
    forget: readonly Forget[],
    endpoints: Held["endpoints"],
  ): Promise<void> {
    if (forget.length === 0) return;
    // Those that still answer, perhaps.
    const draining = forget.flatMap((one) =>
      one.kind === "udp-to" && endpoints.has(one.address) ? [one.address] : [],
    );
    const gone = forget.flatMap((one) => (one.kind === "half-open-to" ? [one.address] : []));
    try {
      const conntrack = await this.#components.entrance.conntrack(path);
      try {
        const flows = await conntrack.flows(draining, SANDBOX_LATE_FLOWS_MAX);
        const transaction = sandboxLateAnswers(SANDBOX_TABLE, flows);
        if (transaction !== "") await nft.run(transaction);
        await conntrack.forget(forget);
        // Idle ones would learn only with what they send next that nobody answers any more.
        await conntrack.wake(gone);
      } finally {
        await conntrack.close();
      }
    } catch (error) {
      this.#components.log.warn("could not forget connections of a container", { path, error });
    }
  }

  async #enter(): Promise<void> {
    if (this.#free > 0) this.#free -= 1;
    else await new Promise<void>((resolve) => this.#waiting.push(resolve));
  }

  #leave(): void {
    const next = this.#waiting.shift();
    if (next === undefined) this.#free += 1;
    else next();
  }

  #tellReady(): void {
    const ready = [...this.#sandboxes.values()].filter(({ held }) => held !== undefined);
    const paths = new Set(ready.map(({ path }) => path));
    const isSame =
      paths.size === this.#ready.size && [...paths].every((path) => this.#ready.has(path));
    this.#ready = paths;
    if (!isSame) this.#components.onReady?.();
  }
}

async function commit(nft: Pick<Nft, "run">, transaction: NftTransaction): Promise<void> {
  if (transaction.length > 0) await nft.run(renderTransaction(transaction));
}

function endpointsOf(virtualIPs: readonly VirtualIP[]): ReadonlyMap<string, "live" | "draining"> {
  const endpoints = new Map<string, "live" | "draining">();
  for (const { draining } of virtualIPs) for (const one of draining) endpoints.set(one, "draining");
  for (const { live } of virtualIPs) for (const one of live) endpoints.set(one, "live");
  return endpoints;
}

/**
 * UDP flows to an endpoint that drains or is gone, half-open TCP to one that is gone; and whatever was sent to a
 * virtual IP before there were rules for it. Established TCP is never touched.
 */
function forgetsOf(before: Held, after: Omit<Held, "virtualIPs">): readonly Forget[] {
  const forget: Forget[] = [];
  for (const [address, was] of before.endpoints) {
    const now = after.endpoints.get(address);
    if (now === "live" || now === was) continue;
    forget.push({ kind: "udp-to", address });
    if (now === undefined) forget.push({ kind: "half-open-to", address });
  }
  const known = new Set(knownOf(before.rules));
  for (const address of knownOf(after.rules)) {
    if (!known.has(address)) forget.push({ kind: "unled-to", address });
  }
  // IPv4 first: where the kernel refuses one of IPv6, the others are forgotten.
  const { ipv4, ipv6 } = byFamily(forget, (one) => ("address" in one ? one.address : ""));
  return [...ipv4, ...ipv6];
}

function driftsIn(path: string, transaction: NftTransaction): readonly Drift[] {
  const drifts = driftsOf({ additions: [], transaction, removals: [] });
  return drifts.map(({ text }) => ({ text: `in the container ${path}: ${text}` }));
}
