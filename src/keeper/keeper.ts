/**
 * The keeper: what must go on when the daemon does not. It answers the Engine's plugin calls, holds the
 * published ports and tells the daemon about both. Its own state on disk is all it needs to start.
 */
import { mkdir, readlink, unlink } from "node:fs/promises";
import type { Server } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import type { Clock } from "../base/clock.ts";
import { ConflictError } from "../base/errors.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import { systemRandom } from "../base/random.ts";
import { ControlServer } from "./control-server.ts";
import { NameStore } from "./dns/name-store.ts";
import { Sandboxes } from "./dns/sandboxes.ts";
import { ZoneServers } from "./dns/zone-servers.ts";
import { Predecessor, Successor } from "./handover.ts";
import { cleanLinks } from "./links.ts";
import { Plugin } from "./plugin/plugin.ts";
import { createPluginServer } from "./plugin/plugin-server.ts";
import type { PluginRequest } from "./plugin/requests.ts";
import { PortHolder } from "./ports/port-holder.ts";
import { systemBinder } from "./ports/system-binder.ts";
import { Splices } from "./ports/tcp-port.ts";
import {
  KEEPER_SOCKET,
  type KeeperEndpoint,
  type KeeperStatus,
  PLUGIN_SOCKET,
  type PortHold,
  type PortRequest,
} from "./protocol.ts";
import type { KeeperState } from "./state.ts";
import { StateKeeper } from "./state-keeper.ts";
import { answers, closeServer, listenUnix } from "./unix-listener.ts";

export interface KeeperInit {
  readonly dataDir: string;
  readonly version: string;
  readonly keeperSocket?: string;
  readonly pluginSocket?: string;
}

export interface KeeperComponents {
  readonly clock: Clock;
  readonly log: Logger;
}

/** An abstract address exists once in a network namespace and goes with its process: a lock that cannot go stale. */
const LOCK_ADDRESS = "\0weft-keeper";

/** Connections that the old keeper splices may go on this long after a handover; then they are reset. */
const LINGER_MS = 600_000;

export class Keeper implements Startable {
  /** Resolves when it was told to stop, by whomever. */
  readonly stopRequested: Promise<void>;
  readonly #init: Required<KeeperInit>;
  readonly #log: Logger;
  readonly #states: StateKeeper;
  readonly #splices = new Splices();
  readonly #ports: PortHolder;
  readonly #names: NameStore;
  readonly #zones: ZoneServers;
  readonly #sandboxes: Sandboxes;
  readonly #control: ControlServer;
  readonly #plugin: Server;
  readonly #lock = createServer((socket) => socket.destroy());
  readonly #clock: Clock;
  readonly #requestStop: () => void;
  #networkNamespace = "";
  #handover: "none" | "running" | "done" = "none";

  constructor({ clock, log }: KeeperComponents, init: KeeperInit) {
    this.#init = { keeperSocket: KEEPER_SOCKET, pluginSocket: PLUGIN_SOCKET, ...init };
    this.#log = log;
    this.#clock = clock;
    this.#states = new StateKeeper({
      path: join(init.dataDir, "keeper", "state.json"),
      clock,
      log,
      onChange: (before, after) => this.#onState(before, after),
    });
    const onChange = (ports: readonly PortHold[]) =>
      this.#control.publish({ kind: "ports", ports });
    const binder = systemBinder({ clock, log, splices: this.#splices });
    this.#ports = new PortHolder({ clock, log, binder, onChange });
    this.#names = new NameStore({ clock, log }, join(init.dataDir, "keeper", "names"));
    const naming = { names: this.#names, random: systemRandom, log };
    this.#zones = new ZoneServers(naming);
    this.#sandboxes = new Sandboxes({ ...naming, clock });
    const { promise, resolve } = Promise.withResolvers<void>();
    this.stopRequested = promise;
    this.#control = new ControlServer({
      log,
      status: () => this.#status(),
      holdPorts: (ports) => this.#holdPorts(ports),
      changeNames: async (change) => {
        this.#names.change(change);
        this.#zones.refresh();
        await this.#zones.idle();
      },
      keepNames: async (sets) => {
        this.#names.keep(sets);
        this.#zones.refresh();
        await this.#zones.idle();
      },
      handOver: (command) => this.#handOver(command),
      stop: resolve,
    });
    this.#requestStop = resolve;
    const plugin = new Plugin({
      states: this.#states,
      onEndpoints: (state) => this.#sandboxes.follow(state),
    });
    const answer = (request: PluginRequest) => plugin.answer(request);
    this.#plugin = createPluginServer({ log, socketPath: this.#init.pluginSocket, answer });
  }

  /** Ports first, because they are free to take until they are held; the daemon last, because it is told about the rest. */
  async start(): Promise<void> {
    const { dataDir, pluginSocket, keeperSocket } = this.#init;
    const predecessor = Predecessor.find();
    await predecessor?.take((held) => this.#ports.adopt(held));
    await this.#takeLock();
    this.#networkNamespace = await readlink("/proc/self/ns/net");
    await mkdir(join(dataDir, "keeper"), { recursive: true, mode: 0o700 });
    await this.#states.load();
    await this.#ports.hold(this.#states.current.ports);
    await this.#forgetLostEndpoints();
    await this.#names.load();
    this.#zones.start();
    await this.#zones.idle();
    await this.#sandboxes.follow(this.#states.current);
    const place = { what: "the keeper", replace: predecessor !== undefined };
    await listenUnix(this.#plugin, { ...place, path: pluginSocket, directoryMode: 0o700 });
    await listenUnix(this.#control.server, { ...place, path: keeperSocket, directoryMode: 0o700 });
    predecessor?.up();
    this.#log.info("the keeper is up", { pid: process.pid, version: this.#init.version });
  }

  async stop(): Promise<void> {
    if (this.#handover === "done") return this.#stopHandedOver();
    this.#splices.reset();
    await this.#ports.stop();
    await this.#zones.stop();
    await this.#sandboxes.stop({ handedOver: false });
    await this.#names.flush();
    await this.#states.stop();
    for (const server of [this.#control.server, this.#plugin]) server.closeAllConnections();
    const { pluginSocket, keeperSocket } = this.#init;
    for (const path of [pluginSocket, keeperSocket]) await unlink(path).catch(() => {});
    await Promise.all([this.#control.server, this.#plugin, this.#lock].map(closeServer));
    this.#log.info("the keeper has stopped");
  }

  /** Starts another keeper with this command and gives it all that this one holds; then this one is to be stopped. */
  async #handOver(command: readonly string[]): Promise<void> {
    if (this.#handover !== "none") throw new ConflictError("the keeper is handing over already");
    this.#handover = "running";
    try {
      const successor = await Successor.start(command);
      await this.#states.handOver(() =>
        this.#ports.frozen(async (held) => {
          await successor.pass(held);
          await this.#names.flush();
          await closeServer(this.#lock);
          await successor.finish();
        }),
      );
      this.#handover = "done";
      this.#log.info("handed over", { to: command.join(" ") });
    } catch (error) {
      this.#handover = "none";
      this.#log.error("could not hand over", { error });
      await this.#recover();
      throw error;
    }
  }

  /** A successor that failed before its end changed nothing; one that had the sockets already leaves this keeper unreachable, and a fresh one is better. */
  async #recover(): Promise<void> {
    if (!this.#lock.listening) await this.#takeLock();
    const { pluginSocket, keeperSocket } = this.#init;
    if ((await answers(pluginSocket)) && (await answers(keeperSocket))) return;
    this.#log.error("the keeper cannot be reached any more and ends");
    this.#requestStop();
  }

  /** The sockets' places are the other one's. What was begun here finishes here, within a bound. */
  async #stopHandedOver(): Promise<void> {
    await this.#ports.stop();
    await this.#zones.stop();
    await this.#sandboxes.stop({ handedOver: true });
    const closed = [this.#control.server, this.#plugin].map(closeServer);
    this.#control.server.closeAllConnections();
    const finished = Promise.all([this.#splices.idle(), ...closed]);
    const bound = new Promise<void>((resolve) => {
      this.#clock.timer("keeper.handover.linger", LINGER_MS, resolve);
    });
    await Promise.race([finished, bound]);
    this.#splices.reset();
    this.#plugin.closeAllConnections();
    this.#log.info("the keeper that handed over has ended");
  }

  async #takeLock(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#lock.once("error", (cause) => {
        const text = "a keeper runs in this network namespace already; a host has one";
        reject(new ConflictError(text, { cause }));
      });
      this.#lock.listen(LOCK_ADDRESS, resolve);
    });
  }

  async #forgetLostEndpoints(): Promise<void> {
    await this.#states.change(async (state) => {
      const lost = await cleanLinks(state.endpoints, this.#log);
      if (lost.length === 0) return { state, value: undefined };
      const endpoints = new Map(state.endpoints);
      for (const { endpointID } of lost) endpoints.delete(endpointID);
      return { state: { ...state, endpoints }, value: undefined };
    });
  }

  /** Persisted before they are bound: what the daemon was told is held is held again after a crash. */
  async #holdPorts(ports: readonly PortRequest[]): Promise<readonly PortHold[]> {
    await this.#states.change(async (state) => ({
      state: JSON.stringify(state.ports) === JSON.stringify(ports) ? state : { ...state, ports },
      value: undefined,
    }));
    return this.#ports.hold(ports);
  }

  #onState(before: KeeperState, after: KeeperState): void {
    if (before.endpoints === after.endpoints) return;
    this.#control.publish({ kind: "endpoints", endpoints: endpointsOf(after) });
  }

  #status(): KeeperStatus {
    return {
      version: this.#init.version,
      pid: process.pid,
      networkNamespace: this.#networkNamespace,
      dataDir: this.#init.dataDir,
      ports: this.#ports.holds(),
      endpoints: endpointsOf(this.#states.current),
    };
  }
}

function endpointsOf(state: KeeperState): readonly KeeperEndpoint[] {
  return [...state.endpoints.values()].map(({ gateway: _own, ...endpoint }) => endpoint);
}
