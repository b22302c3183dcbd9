/**
 * Renews a node's certificate before it expires: at a moment drawn from between half and four fifths of
 * its life, so that nodes that joined together do not ask together (swarmkit ca/config.go); and soon, when
 * it is to come from another authority than it does.
 */
import type { Clock, Timer } from "../base/clock.ts";
import { isTemporary, UnavailableError } from "../base/errors.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import type { Random } from "../base/random.ts";
import { newKeyAndRequest } from "./certificate-request.ts";
import { requestRenewal } from "./client.ts";
import type { NodeCertificates } from "./node-certificates.ts";
import { type Issuer, isSameIssuer, issuerOf } from "./tls-info.ts";

const EARLIEST = 0.5;
const LATEST = 0.8;
/** Timers longer than 24.8 days fire at once in Node.js: longer waits are made of these. */
const TIMER_MS_MAX = 86_400_000;
const RETRY_MS_MIN = 5_000;
/** A failed try is repeated at most this far apart; there is no last one, as without a certificate the node is out. */
const RETRY_MS_MAX = 3_600_000;
const CALL_TIMEOUT_MS = 10_000;

export interface CertificateRenewerComponents {
  readonly certificates: NodeCertificates;
  /** The managers' addresses as known now. */
  readonly managers: () => readonly string[];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export class CertificateRenewer implements Startable {
  readonly #certificates: NodeCertificates;
  readonly #managers: () => readonly string[];
  readonly #clock: Clock;
  readonly #random: Random;
  readonly #log: Logger;
  readonly #stopping = new AbortController();
  #timer: Timer | undefined;
  #running: Promise<void> | undefined;
  #failures = 0;
  /** Who the certificate is to come from; whoever signs, until a manager says it. */
  #issuer: Issuer | undefined;
  /** The wait is for a certificate of another issuer's. */
  #isDue = false;

  constructor(components: CertificateRenewerComponents) {
    this.#certificates = components.certificates;
    this.#managers = components.managers;
    this.#clock = components.clock;
    this.#random = components.random;
    this.#log = components.log;
  }

  start(): void {
    const { notBefore, notAfter } = this.#certificates.validity;
    this.#isDue = false;
    this.#waitUntil(renewalTime(notBefore, notAfter, this.#random));
  }

  /**
   * The certificate is to come from this authority (PEM). One from another is renewed within so long, at a moment
   * of this node's own, as all nodes are told together; and again until it does.
   */
  requireIssuer(authority: string, withinMs: number): void {
    this.#issuer = issuerOf(authority);
    if (this.#isRightIssuer() || this.#isDue || this.#running !== undefined) return;
    this.#isDue = true;
    this.#failures = 0;
    this.#waitUntil(this.#clock.now() + withinMs * this.#random.next());
  }

  #isRightIssuer(): boolean {
    return this.#issuer === undefined || isSameIssuer(this.#certificates.tlsInfo, this.#issuer);
  }

  async stop(): Promise<void> {
    this.#stopping.abort();
    this.#timer?.cancel();
    await this.#running;
  }

  /** Renews now: the role changed, or somebody asked. Rejects when no manager could be asked. */
  async renew(): Promise<void> {
    const { key, request } = newKeyAndRequest();
    const { material } = this.#certificates;
    let last: unknown;
    for (const addr of this.#managers()) {
      try {
        const signal = this.#stopping.signal;
        const call = { addr, deadlineMs: CALL_TIMEOUT_MS, signal, material, request };
        await this.#certificates.renew(key, await requestRenewal(call));
        return;
      } catch (error) {
        if (!isTemporary(error)) throw error;
        last = error;
      }
    }
    throw last;
  }

  #waitUntil(time: number): void {
    if (this.#stopping.signal.aborted) return;
    this.#timer?.cancel();
    const waitMs = time - this.#clock.now();
    const isLast = waitMs <= TIMER_MS_MAX;
    const delayMs = Math.max(0, Math.min(waitMs, TIMER_MS_MAX));
    this.#timer = this.#clock.timer("certificate renewal", delayMs, () => {
      if (isLast) this.#running = this.#attempt().finally(() => (this.#running = undefined));
      else this.#waitUntil(time);
    });
  }

  async #attempt(): Promise<void> {
    try {
      await this.renew();
      if (!this.#isRightIssuer()) {
        throw new UnavailableError(
          "the manager signed with the authority that it was about to leave",
        );
      }
      this.#failures = 0;
      this.start();
    } catch (error) {
      if (this.#stopping.signal.aborted) return;
      const retryMs = Math.min(RETRY_MS_MIN * 2 ** this.#failures++, RETRY_MS_MAX);
      const expiresAt = new Date(this.#certificates.validity.notAfter).toISOString();
      this.#log.warn("certificate not renewed", { error, retryMs, expiresAt });
      this.#waitUntil(this.#clock.now() + retryMs);
    }
  }
}

/** When to renew a certificate of this life. Milliseconds since the epoch; past when it is overdue. */
export function renewalTime(notBefore: number, notAfter: number, random: Random): number {
  const part = EARLIEST + (LATEST - EARLIEST) * random.next();
  return notBefore + (notAfter - notBefore) * part;
}
