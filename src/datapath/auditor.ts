/**
 * Sees to it that drift is found and mended: at once when the kernel tells of it, now and then for what nothing
 * tells of. At once, because after a flush the kernel resets an established connection that sends
 * within the gap. What Weft changes itself is told of too; such news waits and is one look for all of it.
 */
import type { Clock, Timer } from "../base/clock.ts";
import { messageOf } from "../base/errors.ts";
import { Reconciler, type Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Drift } from "./describe.ts";
import type { Uplink, Urgency } from "./kernel-events.ts";
import { urgencyOfNetwork, urgencyOfRules } from "./kernel-events.ts";
import { Monitor } from "./monitor.ts";

/** What the auditor asks of a datapath. */
export interface Audited {
  audit(): Promise<Drift[]>;
  /** Whether settings that no event tells of have been changed; cheap, for it is asked often. */
  haveSettingsDrifted(): boolean;
  readonly uplink: Uplink | undefined;
  /** When it last changed the kernel itself, on the monotonic clock; Infinity while it does, 0 if never. */
  readonly changedAt: number;
}

export interface AuditorComponents {
  readonly datapath: Audited;
  readonly clock: Clock;
  readonly log: Logger;
  /** Told of what was found and mended. */
  readonly onDrift?: (drifts: readonly Drift[]) => void;
}

export interface AuditorInit {
  readonly intervalMs?: number;
  /** The command that prints a line for each change of nftables. */
  readonly monitor?: readonly string[];
  /** The command that prints a line for each change of links, addresses, routes, rules, neighbours and settings. */
  readonly networkMonitor?: readonly string[];
}

/** What no event and no cheap look tells of is found within this time. */
const DEFAULT_INTERVAL_MS = 30_000;
/** route_localnet and legacy iptables are told of by nobody: they are looked at so often. */
const SETTINGS_INTERVAL_MS = 800;
/** News that comes while Weft changes the kernel, or so soon after, is likely its own. */
const OWN_NEWS_MS = 150;
/** Likely own news waits until none has come for so long, so that a rollout is one look and not a hundred … */
const OWN_SETTLE_MS = 700;
/** … and no longer than this: a rollout without a pause is looked at so often. */
const OWN_SETTLE_MS_MAX = 1_400;
/**
 * An audit reads all there is: 10 ms for a few services, seconds for ten thousand. After a long one of d ms, likely
 * own news waits thirty times d, so that changing one service does not cost all the others.
 */
const LONG_AUDIT_MS = 500;
const OWN_SETTLE_FACTOR = 30;
/** Audits are long if so many in a row were: one alone may have mended much, or waited for a busy host. */
const AUDITS_COMPARED = 3;
/** An audit that took d ms is followed by a pause of ten times d, but no longer than this: drift is mended within a second. */
const PAUSE_FACTOR = 10;
const PAUSE_MS_MAX = 800;
/** However long an audit takes, it may have no more than a third of a core. */
const PAUSE_FACTOR_MIN = 2;

const RULES_MONITOR = ["nft", "monitor"];
const NETWORK_MONITOR = [
  ...["ip", "-oneline", "monitor"],
  ...["link", "address", "route", "rule", "neigh", "netconf"],
];

export class Auditor implements Startable {
  readonly #components: AuditorComponents;
  readonly #intervalMs: number;
  readonly #loop: Reconciler;
  readonly #monitors: readonly Monitor[];
  #interval: Timer | undefined;
  #settings: Timer | undefined;
  #due: { readonly at: number; readonly timer: Timer } | undefined;
  /** Likely own news that has not been looked at: since when, and the look that is due for it. */
  #settling: { readonly since: number; readonly timer: Timer } | undefined;
  /** What the last audits took. */
  #tookMs: readonly number[] = [];
  /** No audit that an event asks for starts before this. */
  #pausedUntil = { lost: 0, changed: 0 };
  #stopped = false;
  /** Why the last audit failed: said once, not at each try. */
  #failure: string | undefined;

  constructor(components: AuditorComponents, init: AuditorInit = {}) {
    const { clock, log, datapath } = components;
    this.#components = components;
    this.#intervalMs = init.intervalMs ?? DEFAULT_INTERVAL_MS;
    this.#loop = new Reconciler({
      pass: () => this.#audit(),
      onError: (error) => this.#onFailure(error),
    });
    const onGap = () => this.#onNews("changed");
    const common = { clock, log, onGap };
    this.#monitors = [
      new Monitor(
        { ...common, onLine: (line) => this.#onNews(urgencyOfRules(line)) },
        init.monitor ?? RULES_MONITOR,
      ),
      new Monitor(
        { ...common, onLine: (line) => this.#onNews(urgencyOfNetwork(line, datapath.uplink)) },
        init.networkMonitor ?? NETWORK_MONITOR,
      ),
    ];
  }

  start(): void {
    for (const monitor of this.#monitors) monitor.start();
    this.#planInterval();
    this.#planSettings();
  }

  async stop(): Promise<void> {
    this.#stopped = true;
    this.#interval?.cancel();
    this.#settings?.cancel();
    this.#due?.timer.cancel();
    this.#settling?.timer.cancel();
    await Promise.all(this.#monitors.map((monitor) => monitor.stop()));
    await this.#loop.stop();
  }

  async #audit(): Promise<void> {
    const { datapath, clock, onDrift } = this.#components;
    const startedAt = clock.monotonic();
    // It is a look for all that was told until now.
    this.#settling?.timer.cancel();
    this.#settling = undefined;
    try {
      const drifts = await datapath.audit();
      this.#failure = undefined;
      if (drifts.length > 0) onDrift?.(drifts);
    } finally {
      const now = clock.monotonic();
      const took = now - startedAt;
      this.#tookMs = [...this.#tookMs, took].slice(-AUDITS_COMPARED);
      const shortest = took * PAUSE_FACTOR_MIN;
      const pause = Math.max(Math.min(took * PAUSE_FACTOR, PAUSE_MS_MAX), shortest);
      this.#pausedUntil = { lost: now + shortest, changed: now + pause };
    }
  }

  #onFailure(error: unknown): void {
    const failure = messageOf(error);
    if (failure !== this.#failure) this.#components.log.warn("the audit failed", { error });
    this.#failure = failure;
  }

  #onNews(urgency: Urgency | undefined): void {
    if (urgency === undefined || this.#stopped) return;
    const { clock, datapath } = this.#components;
    const now = clock.monotonic();
    const isOwn = urgency !== "lost" && now - datapath.changedAt < OWN_NEWS_MS;
    if (isOwn) this.#settle(now);
    else this.#auditAt(Math.max(now, this.#pausedUntil[urgency]));
  }

  /** Puts the look for likely own news off, as long as more of it comes. */
  #settle(now: number): void {
    const since = this.#settling?.since ?? now;
    const settleMs = this.#ownSettleMs();
    const at = Math.min(now + settleMs, since + Math.max(OWN_SETTLE_MS_MAX, settleMs));
    this.#settling?.timer.cancel();
    const timer = this.#components.clock.timer("datapath settled", at - now, () => {
      this.#settling = undefined;
      this.#auditAt(Math.max(at, this.#pausedUntil.changed));
    });
    this.#settling = { since, timer };
  }

  /** The regular audit comes in any case: waiting longer than for that would put nothing off. */
  #ownSettleMs(): number {
    const tookMs = Math.min(...this.#tookMs);
    if (this.#tookMs.length < AUDITS_COMPARED || tookMs < LONG_AUDIT_MS) return OWN_SETTLE_MS;
    return Math.min(tookMs * OWN_SETTLE_FACTOR, this.#intervalMs);
  }

  /** One audit is due at a time, at the earliest of the times asked for. */
  #auditAt(at: number): void {
    if (this.#due !== undefined && this.#due.at <= at) return;
    this.#due?.timer.cancel();
    this.#due = undefined;
    const delayMs = at - this.#components.clock.monotonic();
    if (delayMs <= 0) return this.#loop.markDirty();
    const timer = this.#components.clock.timer("datapath drift", delayMs, () => {
      this.#due = undefined;
      this.#loop.markDirty();
    });
    this.#due = { at, timer };
  }

  #planInterval(): void {
    const { clock } = this.#components;
    this.#interval = clock.timer("datapath audit", this.#intervalMs, () => {
      this.#loop.markDirty();
      this.#planInterval();
    });
  }

  #planSettings(): void {
    const { clock } = this.#components;
    this.#settings = clock.timer("datapath settings", SETTINGS_INTERVAL_MS, () => {
      if (this.#haveSettingsDrifted()) this.#onNews("changed");
      this.#planSettings();
    });
  }

  /** What cannot be read is for the audit to tell of. */
  #haveSettingsDrifted(): boolean {
    try {
      return this.#components.datapath.haveSettingsDrifted();
    } catch {
      return true;
    }
  }
}
