/**
 * The way to the local Docker Engine. What is not Weft's goes through here byte for byte: requests and
 * answers as streams, upgraded connections (attach, exec, BuildKit's sessions) as spliced sockets.
 */
import type {
  ClientRequest,
  IncomingHttpHeaders,
  IncomingMessage,
  ServerResponse,
} from "node:http";

import { connect, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { messageOf, UnavailableError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import { Agent, request as httpRequest } from "../base/node-http.ts";
import { type HostAddress, parseHost } from "./address.ts";
import { expectsContinue, MAX_HEADER_BYTES, sendError } from "./http.ts";

/** An answer of the Engine that Weft reads itself stops being read here; more is an error of the Engine's. */
const MAX_ENGINE_ANSWER_BYTES = 64 * 1024 * 1024;

/** Headers that belong to one connection, never to the one behind it (RFC 9110 §7.6.1). */
const HOP_BY_HOP = new Set(["connection", "keep-alive", "proxy-connection"]);

export interface EngineAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

export interface ForwardOptions {
  /** The body, where Weft has already read it; else the request's own stream. */
  readonly body?: Buffer;
  /** A last look at the answer's headers: name and value in turn, as they came. */
  readonly editHeaders?: (rawHeaders: readonly string[]) => readonly string[];
}

/**
 * A connection for each request, since opening a local one costs less than meeting one that the Engine has just
 * closed; but closed by Weft, never by asking for it (`Connection: close`): an Engine that answers at once and
 * hangs up would meet the last, empty write of a request's end, and the broken pipe would take its answer away.
 */
class OneRequestAgent extends Agent {
  override keepSocketAlive(): boolean {
    return false;
  }
}

export class Engine {
  readonly #dockerHost: string;
  readonly #address: HostAddress;
  readonly #log: Logger;
  readonly #spliced = new Set<Duplex>();
  readonly #agent = new OneRequestAgent({ keepAlive: true });

  constructor(dockerHost: string, log: Logger) {
    this.#dockerHost = dockerHost;
    this.#address = parseHost(dockerHost);
    this.#log = log;
  }

  /** Hands one request on and its answer back, as streams. Resolves when the answer is complete or its reader gone. */
  forward(
    request: IncomingMessage,
    response: ServerResponse,
    path: string,
    options: ForwardOptions = {},
  ): Promise<void> {
    return new Promise((resolve) => {
      const upstream = this.#request(request.method ?? "GET", path, headersFor(request));
      response.once("close", () => {
        upstream.destroy();
        resolve();
      });
      upstream.on("error", (error) => {
        // Once the Engine has answered, its answer says more than the broken pipe of the request.
        if (!response.headersSent) sendError(response, this.#away(error));
      });
      upstream.on("response", (answer) => passAnswer(answer, response, options));
      if (options.body !== undefined) upstream.end(options.body);
      else if (expectsContinue(request)) awaitContinue(request, response, upstream);
      else request.pipe(upstream);
    });
  }

  /** Joins an upgraded connection with one of the Engine's: what follows belongs to those two. */
  splice(request: IncomingMessage, client: Duplex, head: Buffer): void {
    const engine = this.#connect();
    this.#track(client, engine);
    engine.once("connect", () => {
      engine.write(upgradeHead(request));
      if (head.length > 0) engine.write(head);
      client.pipe(engine);
      engine.pipe(client);
    });
    engine.on("error", (error) => {
      if (engine.bytesRead === 0 && engine.bytesWritten === 0)
        client.end(awayHead(this.#away(error)));
      else client.destroy();
    });
    client.on("error", (error) => {
      this.#log.debug("a client of a spliced connection went away", { error });
      engine.destroy();
    });
    client.once("close", () => engine.destroy());
  }

  /** One request of Weft's own, its answer read whole. */
  get(path: string, signal?: AbortSignal): Promise<EngineAnswer> {
    return this.ask("GET", path, signal);
  }

  /** The same with another method, and with a body of JSON where there is one. */
  ask(method: string, path: string, signal?: AbortSignal, body?: unknown): Promise<EngineAnswer> {
    const text = body === undefined ? "" : JSON.stringify(body);
    const headers = ["Host", "docker", "Content-Length", String(Buffer.byteLength(text))];
    if (body !== undefined) headers.push("Content-Type", "application/json");
    return new Promise((resolve, reject) => {
      const upstream = this.#request(method, path, headers, signal);
      upstream.on("error", (error) => reject(this.#away(error)));
      upstream.on("response", (answer) => {
        readAll(answer).then(
          (body) => resolve({ status: answer.statusCode ?? 502, headers: answer.headers, body }),
          (error: unknown) => reject(this.#away(error)),
        );
      });
      upstream.end(text);
    });
  }

  /** Opens a stream of the Engine's, as `/events`; the caller reads or destroys it. */
  open(path: string, signal: AbortSignal): Promise<IncomingMessage> {
    return new Promise((resolve, reject) => {
      const upstream = this.#request("GET", path, ["Host", "docker"], signal);
      upstream.on("error", (error) => reject(this.#away(error)));
      upstream.on("response", resolve);
      upstream.end();
    });
  }

  /** Ends what is still spliced. */
  close(): void {
    for (const stream of this.#spliced) stream.destroy();
    this.#agent.destroy();
  }

  #request(
    method: string,
    path: string,
    headers: readonly string[],
    signal?: AbortSignal,
  ): ClientRequest {
    const address = this.#address;
    const to =
      address.kind === "unix"
        ? { socketPath: address.path }
        : { host: address.host, port: address.port };
    return httpRequest({
      ...to,
      method,
      path,
      headers,
      agent: this.#agent,
      maxHeaderSize: MAX_HEADER_BYTES,
      ...(signal === undefined ? {} : { signal }),
    });
  }

  #connect(): Socket {
    const address = this.#address;
    return address.kind === "unix"
      ? connect({ path: address.path, allowHalfOpen: true })
      : connect({ host: address.host, port: address.port, allowHalfOpen: true });
  }

  #track(client: Duplex, engine: Duplex): void {
    this.#spliced.add(client).add(engine);
    client.once("close", () => this.#spliced.delete(client));
    engine.once("close", () => this.#spliced.delete(engine));
  }

  #away(error: unknown): UnavailableError {
    return new UnavailableError(
      `Cannot connect to the local Docker Engine at ${this.#dockerHost} (${messageOf(error)}). Is the docker daemon running?`,
      { cause: error },
    );
  }
}

/** The client's own headers, without those of its connection. */
function headersFor(request: IncomingMessage): string[] {
  const headers = withoutHopByHop(request.rawHeaders);
  const bodyless =
    request.headers["content-length"] === undefined &&
    request.headers["transfer-encoding"] === undefined;
  // Without this, Node would announce a chunked body where the client sent none, and the Engine refuses that.
  if (bodyless && request.method !== "GET" && request.method !== "HEAD") {
    headers.push("Content-Length", "0");
  }
  return headers;
}

function withoutHopByHop(rawHeaders: readonly string[]): string[] {
  const kept: string[] = [];
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const name = rawHeaders[at] ?? "";
    if (!HOP_BY_HOP.has(name.toLowerCase())) kept.push(name, rawHeaders[at + 1] ?? "");
  }
  return kept;
}

/** The client sends its body once the Engine wants it; an Engine that refuses at once never reads one. */
function awaitContinue(
  request: IncomingMessage,
  response: ServerResponse,
  upstream: ClientRequest,
): void {
  // If the Engine never asks, the client may send its body or not: what would follow it is anybody's guess.
  response.shouldKeepAlive = false;
  upstream.once("continue", () => {
    response.writeContinue();
    request.pipe(upstream);
  });
  upstream.flushHeaders();
}

function passAnswer(
  answer: IncomingMessage,
  response: ServerResponse,
  options: ForwardOptions,
): void {
  const headers = withoutHopByHop(answer.rawHeaders);
  const edited = options.editHeaders?.(headers) ?? headers;
  response.writeHead(answer.statusCode ?? 502, answer.statusMessage, [...edited]);
  // A followed log may have nothing to say for hours; its reader must know at once that it is followed.
  response.flushHeaders();
  answer.pipe(response);
  // A cut answer must look cut: ending it in order would make half a file look whole.
  answer.once("error", () => response.destroy());
  answer.once("aborted", () => response.destroy());
}

/**
 * The request's head as the client wrote it, but for one token: `close` tells the Engine that this connection
 * carries one exchange. Were it refused and kept, later requests on it would pass Weft by.
 */
function upgradeHead(request: IncomingMessage): string {
  const lines = [`${request.method} ${request.url} HTTP/1.1`];
  for (let at = 0; at + 1 < request.rawHeaders.length; at += 2) {
    const name = request.rawHeaders[at] ?? "";
    const value = request.rawHeaders[at + 1] ?? "";
    lines.push(`${name}: ${name.toLowerCase() === "connection" ? `${value}, close` : value}`);
  }
  return `${lines.join("\r\n")}\r\n\r\n`;
}

function awayHead(error: UnavailableError): string {
  const body = `${JSON.stringify({ message: error.message })}\n`;
  return (
    "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nConnection: close\r\n" +
    `Content-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`
  );
}

async function readAll(answer: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of answer as AsyncIterable<Buffer>) {
    size += chunk.length;
    if (size > MAX_ENGINE_ANSWER_BYTES) throw new Error("the Engine's answer is too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
