/**
 * `/metrics`: what this node counts and measures, for Prometheus. On the API's socket always; on a TCP address of its own
 * where the daemon is told one, without TLS and for nobody to change anything: it shows what services there are and how
 * busy, so the address is the user's choice.
 */
import type { Server } from "node:http";
import { InvalidParameterError, NotFoundError } from "../base/errors.ts";
import type { Startable } from "../base/lifecycle.ts";
import type { Logger } from "../base/logger.ts";
import { METRICS_CONTENT_TYPE } from "../base/metrics.ts";
import { createServer } from "../base/node-http.ts";
import type { Answer, ApiCall } from "./call.ts";
import { sendError } from "./http.ts";
import { listenTcp } from "./listeners.ts";

export type MetricsPage = () => Promise<string>;

/** Readers at once; more are turned away by the kernel's backlog. */
const CONNECTIONS_MAX = 16;
const PORT_MAX = 65_535;
const REQUEST_TIMEOUT_MS = 10_000;

export async function getMetrics({ context, response }: ApiCall): Promise<Answer> {
  if (context.metrics === undefined) throw new NotFoundError("page not found");
  const page = await context.metrics();
  response.writeHead(200, { "Content-Type": METRICS_CONTENT_TYPE });
  response.end(page);
  return undefined;
}

export interface MetricsAddress {
  readonly host: string;
  readonly port: number;
}

/** Reads `127.0.0.1:9480` or `[::1]:9480`; throws what is wrong with it. */
export function parseMetricsAddr(text: string): MetricsAddress {
  const found = /^(\[[0-9a-fA-F:.]+\]|[^:/[\]]+):(\d{1,5})$/.exec(text);
  const port = Number(found?.[2]);
  if (found?.[1] === undefined || port < 1 || port > PORT_MAX) {
    throw new InvalidParameterError(
      `invalid address ${JSON.stringify(text)} for metrics: expected ADDRESS:PORT, as 127.0.0.1:9480`,
    );
  }
  return { host: found[1].replace(/^\[|\]$/g, ""), port };
}

export interface MetricsServerInit extends MetricsAddress {
  readonly page: MetricsPage;
  readonly log: Logger;
}

/** The page alone, over TCP. */
export class MetricsServer implements Startable {
  readonly #init: MetricsServerInit;
  readonly #server: Server;

  constructor(init: MetricsServerInit) {
    this.#init = init;
    this.#server = createServer({ requestTimeout: REQUEST_TIMEOUT_MS }, (request, response) => {
      const path = request.url?.split("?", 1)[0];
      if (path !== "/metrics" || !["GET", "HEAD"].includes(request.method ?? "")) {
        sendError(response, new NotFoundError("page not found: there is /metrics"));
        return;
      }
      init.page().then(
        (page) => {
          response.writeHead(200, { "Content-Type": METRICS_CONTENT_TYPE });
          response.end(request.method === "HEAD" ? undefined : page);
        },
        (error: unknown) => {
          init.log.warn("the metrics cannot be gathered", { error });
          sendError(response, error);
        },
      );
    });
    this.#server.maxConnections = CONNECTIONS_MAX;
  }

  /** Rejects when the address cannot be had. */
  async start(): Promise<void> {
    const { host, port, log } = this.#init;
    await listenTcp(this.#server, { kind: "tcp", host, port });
    log.info("metrics are answered", { host, port });
  }

  async stop(): Promise<void> {
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => {
      this.#server.close(() => resolve());
      this.#server.closeAllConnections();
    });
  }
}
