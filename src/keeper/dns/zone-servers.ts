/**
 * The zones that anybody may ask for, where they listen. Their sockets may be shared with another keeper's, so that at
 * a handover the new one listens before the old one lets go.
 */

import { createSocket } from "node:dgram";
import { once } from "node:events";
import { createServer } from "node:net";
import { SystemError } from "../../base/errors.ts";
import { isOfIPv6 } from "../../base/ip-address.ts";
import { Reconciler, type Startable } from "../../base/lifecycle.ts";
import type { Logger } from "../../base/logger.ts";
import type { Random } from "../../base/random.ts";
import { answeringLookup, DnsServer } from "./dns-server.ts";
import type { NameIndex } from "./name-index.ts";
import type { NameStore } from "./name-store.ts";
import { type Listener, parseListener } from "./names.ts";
import { Responder } from "./responder.ts";

/** An address that the host does not have, or a port that is taken, is tried again so often. */
const RETRY_MS = 2_000;
/** Balancers and people ask for all services there are; some megabytes. */
const ANSWERS_MAX = 16_384;

export interface ZoneServersComponents {
  readonly names: NameStore;
  readonly random: Random;
  readonly log: Logger;
}

export class ZoneServers implements Startable {
  readonly #components: ZoneServersComponents;
  readonly #loop: Reconciler;
  readonly #responder: Responder;
  readonly #servers = new Map<string, DnsServer>();
  #zones: readonly NameIndex[] = [];
  #complaint = "";

  constructor(components: ZoneServersComponents) {
    this.#components = components;
    const { random } = components;
    const sight = () => ({ sets: this.#zones, zone: true });
    this.#responder = new Responder({ sight, random, answersMax: ANSWERS_MAX });
    this.#loop = new Reconciler({
      pass: () => this.#pass(),
      onError: (error) => this.#complain(error),
      retryMs: RETRY_MS,
    });
  }

  start(): void {
    this.refresh();
  }

  /** The sets of names have changed. */
  refresh(): void {
    this.#zones = this.#components.names.zones();
    this.#loop.markDirty();
  }

  /** Resolves when it listens wherever it can. */
  idle(): Promise<void> {
    return this.#loop.idle();
  }

  async stop(): Promise<void> {
    await this.#loop.stop();
    await Promise.all([...this.#servers.values()].map((server) => server.close()));
    this.#servers.clear();
  }

  async #pass(): Promise<void> {
    const wanted = new Set(this.#zones.flatMap(({ frame }) => frame.listen ?? []));
    for (const [place, server] of this.#servers) {
      if (wanted.has(place)) continue;
      this.#servers.delete(place);
      await server.close();
    }
    const failures: unknown[] = [];
    for (const place of wanted) {
      if (this.#servers.has(place)) continue;
      try {
        this.#servers.set(place, await this.#listen(place));
        this.#components.log.info("answers for names outside of containers", { at: place });
      } catch (error) {
        failures.push(error);
      }
    }
    const [first] = failures;
    if (first !== undefined) throw first;
    this.#complaint = "";
  }

  async #listen(place: string): Promise<DnsServer> {
    const listener = parseListener(place);
    if (listener === undefined) throw new SystemError(`cannot listen at ${place}`);
    const datagrams = await bindDatagrams(listener);
    try {
      const streams = await listenStreams(listener);
      return new DnsServer({ responder: this.#responder, datagrams, streams });
    } catch (error) {
      datagrams.close();
      throw error;
    }
  }

  /** Once for each reason, however often it is tried. */
  #complain(error: unknown): void {
    const text = String(error);
    if (text === this.#complaint) return;
    this.#complaint = text;
    this.#components.log.warn("cannot answer for names outside of containers", { error });
  }
}

async function bindDatagrams({ address, port }: Listener) {
  const type = isOfIPv6(address) ? "udp6" : "udp4";
  const socket = createSocket({ type, reusePort: true, lookup: answeringLookup });
  // With this lookup it is said at once.
  const listening = once(socket, "listening");
  socket.bind({ address, port });
  await listening;
  return socket;
}

async function listenStreams({ address, port }: Listener) {
  const server = createServer();
  server.listen({ host: address, port, reusePort: true });
  await once(server, "listening");
  return server;
}
