/**
 * The Engine API as Weft answers it: the table in routes.ts says which paths are its own and which are merged
 * with the local Engine's answer; everything else, upgraded connections included, passes to that Engine.
 */
import { readFileSync } from "node:fs";
import type {
  IncomingMessage,
  RequestListener,
  Server,
  ServerOptions,
  ServerResponse,
} from "node:http";
import type { Duplex } from "node:stream";
import { AssertionFault } from "../base/assert.ts";
import type { Clock } from "../base/clock.ts";
import { NotFoundError, WeftError } from "../base/errors.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import { createServer } from "../base/node-http.ts";
import { parseListenHost } from "./address.ts";
import type { NodeBackend } from "./backend.ts";
import type { ApiContext } from "./call.ts";
import { ClusterEvents } from "./cluster-events.ts";
import { Engine } from "./engine.ts";
import { checkClientVersion, EngineVersionCache } from "./engine-version.ts";
import { MAX_HEADER_BYTES, sendError, sendJson } from "./http.ts";
import { listenTcp, listenUnix } from "./listeners.ts";
import type { MetricsPage } from "./metrics.ts";
import { type RouteMatch, Router } from "./router.ts";
import { API_ROUTES, type ApiRoute, isClusterPath, isPassedThrough } from "./routes.ts";

/** Clients keep a connection for their next request this long; Docker's own never closes one. */
const KEEP_ALIVE_TIMEOUT_MS = 10 * 60_000;

export interface ApiServerInit {
  /** As `unix:///run/weft.sock`, `tcp://address:port`. */
  readonly hosts: readonly string[];
  /** Files in PEM, as dockerd's flags of the same names; TCP hosts need all three. */
  readonly tls?: {
    readonly tlscacert: string;
    readonly tlscert: string;
    readonly tlskey: string;
  };
  /** The local Engine, as `unix:///var/run/docker.sock`. */
  readonly dockerHost: string;
  readonly backend: NodeBackend;
  readonly clock: Clock;
  readonly log: Logger;
  readonly metrics?: MetricsPage;
  /** Weft's own version. */
  readonly version: string;
}

export class ApiServer implements Startable {
  readonly #init: ApiServerInit;
  readonly #log: Logger;
  readonly #engine: Engine;
  readonly #engineVersion: EngineVersionCache;
  readonly #context: ApiContext;
  readonly #router = new Router(API_ROUTES);
  readonly #servers: Server[] = [];

  constructor(init: ApiServerInit) {
    this.#init = init;
    this.#log = init.log.child("api");
    this.#engine = new Engine(init.dockerHost, this.#log);
    this.#engineVersion = new EngineVersionCache(this.#engine, init.clock);
    this.#context = {
      backend: init.backend,
      engine: this.#engine,
      events: new ClusterEvents(init.backend),
      clock: init.clock,
      log: this.#log,
      ...(init.metrics === undefined ? {} : { metrics: init.metrics }),
    };
  }

  async start(): Promise<void> {
    this.#context.events.follow();
    try {
      for (const host of this.#init.hosts) await this.#listen(host);
    } catch (error) {
      await this.stop();
      throw error;
    }
  }

  async stop(): Promise<void> {
    this.#context.events.stop();
    this.#engine.close();
    const servers = this.#servers.splice(0);
    await Promise.all(
      servers.map(
        (server) =>
          new Promise<void>((resolve) => {
            server.close(() => resolve());
            server.closeAllConnections();
          }),
      ),
    );
  }

  async #listen(host: string): Promise<void> {
    const { tls } = this.#init;
    const address = parseListenHost(host, tls !== undefined);
    const server =
      tls === undefined || address.kind === "unix" ? this.#httpServer() : this.#tlsServer(tls);
    this.#servers.push(server);
    if (address.kind === "unix") await listenUnix(server, address.path, this.#log);
    else await listenTcp(server, address);
    this.#log.info("the API answers", { host });
  }

  #httpServer(): Server {
    return this.#wire(createServer(this.#serverOptions()));
  }

  #tlsServer(tls: NonNullable<ApiServerInit["tls"]>): Server {
    // Loaded where it is needed, and by no import: that would bring what node-http.ts keeps away.
    const server = process.getBuiltinModule("node:https").createServer({
      ...this.#serverOptions(),
      ca: readFileSync(tls.tlscacert),
      cert: readFileSync(tls.tlscert),
      key: readFileSync(tls.tlskey),
      requestCert: true,
      rejectUnauthorized: true,
      minVersion: "TLSv1.2",
    });
    return this.#wire(server);
  }

  #serverOptions(): ServerOptions {
    return {
      maxHeaderSize: MAX_HEADER_BYTES,
      // An image that is loaded, a log that is followed: requests and answers last as long as they last.
      requestTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_TIMEOUT_MS,
      shouldUpgradeCallback: (request) => isPassedThrough(unversioned(request.url ?? "/").path),
    };
  }

  #wire(server: Server): Server {
    const listener: RequestListener = (request, response) => void this.#handle(request, response);
    server.on("request", listener);
    // Not Node's own "continue" to everybody: whether a body is wanted is said by whoever answers.
    server.on("checkContinue", listener);
    server.on("upgrade", (request: IncomingMessage, socket: Duplex, head: Buffer) =>
      this.#engine.splice(request, socket, head),
    );
    return server;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const url = request.url ?? "/";
    const { path } = unversioned(url);
    const match = this.#router.match(request.method ?? "", path);
    if (match !== undefined) await this.#answer(match, url, request, response);
    else if (isClusterPath(path)) sendError(response, new NotFoundError("page not found"));
    else await this.#engine.forward(request, response, url);
  }

  async #answer(
    { route, params }: RouteMatch<ApiRoute>,
    url: string,
    request: IncomingMessage,
    response: ServerResponse,
  ): Promise<void> {
    const gone = new AbortController();
    response.once("close", () => gone.abort());
    this.#context.events.follow();
    try {
      await this.#checkVersion(url, response);
      const answer = await route.handle({
        context: this.#context,
        params,
        query: new URL(url, "http://weft").searchParams,
        url,
        request,
        response,
        signal: gone.signal,
      });
      if (answer !== undefined) sendJson(response, answer.status, answer.body);
    } catch (error) {
      if (error instanceof AssertionFault) return void setImmediate(() => rethrow(error));
      if (gone.signal.aborted) return;
      this.#logFailure(route, error);
      if (response.headersSent) response.destroy();
      else sendError(response, error);
    }
  }

  #logFailure({ method, path }: ApiRoute, error: unknown): void {
    if (error instanceof WeftError) this.#log.debug("refused", { method, path, error });
    else this.#log.error("a request failed", { method, path, error });
  }

  async #checkVersion(url: string, response: ServerResponse): Promise<void> {
    const engine = await this.#engineVersion.current();
    response.setHeader("Server", `Weft/${this.#init.version} (linux)`);
    response.setHeader("Ostype", "linux");
    if (engine === undefined) return;
    response.setHeader("Api-Version", engine.apiVersion);
    const { version } = unversioned(url);
    if (version !== undefined) checkClientVersion(version, engine);
  }
}

/** Where no promise catches it: a lost invariant ends the process. */
function rethrow(fault: AssertionFault): never {
  throw fault;
}

/** Takes the version off a path: `/v1.41/services` is `/services`, asked for by a client of 1.41. */
export function unversioned(url: string): { readonly path: string; readonly version?: string } {
  const match = /^\/v([0-9.]+)(\/.*)$/.exec(url);
  if (match?.[1] === undefined || match[2] === undefined) return { path: url };
  return { path: match[2], version: match[1] };
}
