/**
 * The Docker Engine's HTTP API over its unix socket, as thin as it can be: JSON calls and byte streams.
 * An Engine that does not answer is an UnavailableError; a refusal keeps the Engine's own words in the
 * error class of its status.
 */
import type { Agent as HTTPAgent, IncomingMessage } from "node:http";
import { messageOf, SystemError, UnavailableError, type WeftError } from "../../base/errors.ts";
import { errorOfStatus } from "../../base/http-status.ts";
import { Agent, request as httpRequest } from "../../base/node-http.ts";
import { recordOf, stringOf } from "./decode.ts";

/** The newest API version whose meaning this code was written for; an older Engine is spoken to in its own. */
const NEWEST_API_VERSION = "1.51";
/** Calls in flight on kept connections; more wait for a connection inside the agent. */
const MAX_CONNECTIONS = 16;
/** The Engine may be silent this long within a call: it waits 15 s on each plugin call, and a start makes several. */
const CALL_TIMEOUT_MS = 120_000;
/** A longer answer ends the call as an error: nothing that is asked for comes near. */
const MAX_BODY_BYTES = 64 * 1024 * 1024;

export type Method = "GET" | "POST" | "DELETE";
export type Query = Readonly<Record<string, string | number | boolean | undefined>>;

export interface CallInit {
  readonly query?: Query;
  readonly body?: unknown;
  readonly headers?: Readonly<Record<string, string>>;
  readonly signal?: AbortSignal;
  /** Statuses besides 2xx that are as good as done; the call then resolves with undefined. */
  readonly harmless?: readonly number[];
  /** How long the Engine may say nothing. */
  readonly timeoutMs?: number;
  /** For calls that last: they take no place among the kept connections. */
  readonly ownConnection?: boolean;
}

interface Attempt {
  readonly method: Method;
  readonly path: string;
  readonly init: CallInit;
  readonly timeoutMs: number;
  readonly agent: HTTPAgent | false;
}

export class EngineClient {
  readonly #socketPath: string;
  readonly #agent = new Agent({ keepAlive: true, maxSockets: MAX_CONNECTIONS });
  #apiVersion: Promise<string> | undefined;

  constructor(init: { readonly socketPath: string }) {
    this.#socketPath = init.socketPath;
  }

  /** One call with a JSON answer; undefined when the answer is empty or was declared harmless. */
  async call(method: Method, path: string, init: CallInit = {}): Promise<unknown> {
    const response = await this.#send({
      method,
      path: `/v${await this.#version()}${path}${queryText(init.query)}`,
      init,
      timeoutMs: init.timeoutMs ?? CALL_TIMEOUT_MS,
      agent: init.ownConnection === true ? false : this.#agent,
    });
    const status = response.statusCode ?? 0;
    const text = await this.#textOf(response);
    if (init.harmless?.includes(status) === true) return undefined;
    if (status < 200 || status > 299) throw errorOf(status, text);
    return text.trim() === "" ? undefined : parse(text);
  }

  /** A call whose answer is read as it comes, on its own connection; ends quietly when the signal is aborted. */
  async stream(
    method: Method,
    path: string,
    init: CallInit = {},
  ): Promise<AsyncIterable<Uint8Array>> {
    const response = await this.#send({
      method,
      path: `/v${await this.#version()}${path}${queryText(init.query)}`,
      init,
      timeoutMs: 0,
      agent: false,
    });
    const status = response.statusCode ?? 0;
    if (status < 200 || status > 299) throw errorOf(status, await this.#textOf(response));
    return this.#chunksOf(response, init.signal);
  }

  /** Closes the kept connections; calls in flight end with an error. */
  close(): void {
    this.#agent.destroy();
  }

  async #version(): Promise<string> {
    this.#apiVersion ??= this.#askVersion();
    try {
      return await this.#apiVersion;
    } catch (error) {
      this.#apiVersion = undefined;
      throw error;
    }
  }

  async #askVersion(): Promise<string> {
    const response = await this.#send({
      method: "GET",
      path: "/version",
      init: {},
      timeoutMs: CALL_TIMEOUT_MS,
      agent: this.#agent,
    });
    const text = await this.#textOf(response);
    if (response.statusCode !== 200) throw errorOf(response.statusCode ?? 0, text);
    const offered = stringOf(recordOf(parse(text))["ApiVersion"]) ?? NEWEST_API_VERSION;
    return olderVersion(offered, NEWEST_API_VERSION);
  }

  async #send(attempt: Attempt): Promise<IncomingMessage> {
    try {
      return await this.#sendOnce(attempt);
    } catch (error) {
      // An Engine that was restarted has closed the kept connection: a question may be asked again at once.
      if (!(error instanceof StaleConnectionError)) throw error;
      return await this.#sendOnce({ ...attempt, agent: false });
    }
  }

  #sendOnce(attempt: Attempt): Promise<IncomingMessage> {
    const { method, path, init } = attempt;
    const body = init.body === undefined ? undefined : JSON.stringify(init.body);
    const headers: Record<string, string> = { host: "docker", ...init.headers };
    if (body !== undefined) headers["content-type"] = "application/json";
    return new Promise((resolve, reject) => {
      const request = httpRequest(
        {
          socketPath: this.#socketPath,
          method,
          path,
          headers,
          agent: attempt.agent,
          timeout: attempt.timeoutMs,
          ...(init.signal === undefined ? {} : { signal: init.signal }),
        },
        resolve,
      );
      request.on("timeout", () => request.destroy(new Error("the Docker Engine does not answer")));
      request.on("error", (error) => {
        if (init.signal?.aborted === true) return reject(error);
        if (request.reusedSocket && method === "GET") return reject(new StaleConnectionError());
        reject(this.#unavailable(error));
      });
      request.end(body);
    });
  }

  async #textOf(response: IncomingMessage): Promise<string> {
    const chunks: Uint8Array[] = [];
    let size = 0;
    for await (const chunk of this.#chunksOf(response)) {
      size += chunk.length;
      if (size > MAX_BODY_BYTES) throw new SystemError("the Docker Engine's answer is too long");
      chunks.push(chunk);
    }
    return Buffer.concat(chunks).toString("utf8");
  }

  async *#chunksOf(response: IncomingMessage, signal?: AbortSignal): AsyncIterable<Uint8Array> {
    try {
      for await (const chunk of response) yield chunk as Uint8Array;
    } catch (error) {
      if (signal?.aborted === true) return;
      throw this.#unavailable(error);
    }
  }

  #unavailable(cause: unknown): UnavailableError {
    // The next Engine on this socket may be another version.
    this.#apiVersion = undefined;
    const code = recordOf(cause)["code"];
    if (code === "ECONNREFUSED" || code === "ENOENT") {
      return new UnavailableError(
        `Cannot connect to the Docker daemon at unix://${this.#socketPath}. Is the docker daemon running?`,
        { cause },
      );
    }
    return new UnavailableError(
      `the Docker daemon at unix://${this.#socketPath} went away: ${messageOf(cause)}`,
      { cause },
    );
  }
}

/** A kept connection was closed by the other end before our question reached it. */
class StaleConnectionError extends Error {}

function queryText(query: Query | undefined): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query ?? {})) {
    if (value !== undefined) parameters.set(name, String(value));
  }
  const text = parameters.toString();
  return text === "" ? "" : `?${text}`;
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new SystemError("the Docker Engine's answer is not JSON", { cause });
  }
}

/** The older of two versions such as 1.41 and 1.51. */
export function olderVersion(left: string, right: string): string {
  const [leftMajor = 0, leftMinor = 0] = left.split(".").map(Number);
  const [rightMajor = 0, rightMinor = 0] = right.split(".").map(Number);
  const difference = leftMajor - rightMajor || leftMinor - rightMinor;
  return difference <= 0 ? left : right;
}

/** The Engine's refusal as the class of its status, with the Engine's own text. */
function errorOf(status: number, body: string): WeftError {
  const message = refusalText(body) ?? `the Docker Engine answered with status ${status}`;
  return errorOfStatus(status, message);
}

function refusalText(body: string): string | undefined {
  try {
    return stringOf(recordOf(JSON.parse(body))["message"]);
  } catch {
    return body.trim() === "" ? undefined : body.trim();
  }
}
