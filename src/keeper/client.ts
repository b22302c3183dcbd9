/** The keeper as the daemon sees it, over its control socket. */
import type { IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import { setTimeout as pause } from "node:timers/promises";
import { errorOfCode, SystemError, UnavailableError, type WeftError } from "../base/errors.ts";
import { request as httpRequest } from "../base/node-http.ts";
import {
  BODY_BYTES_MAX,
  type JSONObject,
  listOf,
  objectOf,
  optionalString,
  parseObject,
  stringField,
} from "./decode.ts";
import type { NameSetChange } from "./dns/names.ts";
import type {
  KeeperClient,
  KeeperEndpoint,
  KeeperEvent,
  KeeperStatus,
  PortHold,
  PortRequest,
} from "./protocol.ts";
import { KEEPER_SOCKET } from "./protocol.ts";

/** The keeper answers in milliseconds; one that takes this long hangs, and the call fails. */
const CALL_TIMEOUT_MS = 10_000;

/** A new process has to come up within it. */
const HANDOVER_TIMEOUT_MS = 45_000;

/** How often it is looked whether a keeper that was told to end has. */
const STOP_LOOK_MS = 10;

export interface KeeperClientInit {
  readonly socketPath?: string;
}

interface Call {
  readonly method: "GET" | "PUT" | "POST";
  readonly path: string;
  readonly body?: unknown;
  readonly signal?: AbortSignal;
}

/** Each call is a connection of its own, so that a keeper that was replaced is met without a stale one. */
export class HTTPKeeperClient implements KeeperClient {
  readonly #socketPath: string;

  constructor(init: KeeperClientInit = {}) {
    this.#socketPath = init.socketPath ?? KEEPER_SOCKET;
  }

  async status(): Promise<KeeperStatus> {
    return decodeStatus(await this.#call({ method: "GET", path: "/status" }));
  }

  async holdPorts(ports: readonly PortRequest[]): Promise<readonly PortHold[]> {
    const answer = await this.#call({ method: "PUT", path: "/ports", body: { ports } });
    return listOf(answer["ports"], "ports").map(decodeHold);
  }

  async changeNames(change: NameSetChange): Promise<void> {
    await this.#call({ method: "PUT", path: "/names", body: change });
  }

  async keepNames(sets: readonly string[]): Promise<void> {
    await this.#call({ method: "PUT", path: "/name-sets", body: { sets } });
  }

  /** Asks the keeper to give its place to one started with this command; resolves when that one is up. */
  async handOver(command: readonly string[]): Promise<void> {
    await this.#call({ method: "POST", path: "/handover", body: { command } }, HANDOVER_TIMEOUT_MS);
  }

  async stop(): Promise<void> {
    await this.#call({ method: "POST", path: "/stop" });
    const deadline = performance.now() + CALL_TIMEOUT_MS;
    while (await this.#answers()) {
      if (performance.now() > deadline) throw new SystemError("the keeper does not end");
      await pause(STOP_LOOK_MS);
    }
  }

  async *events(signal: AbortSignal): AsyncGenerator<KeeperEvent> {
    if (signal.aborted) return;
    try {
      const stream = await this.#open({ method: "GET", path: "/events", signal });
      for await (const line of createInterface({ input: stream, crlfDelay: Infinity })) {
        yield decodeEvent(parseObject(line, "an event"));
      }
    } catch (error) {
      if (!signal.aborted) throw error;
    }
  }

  async #answers(): Promise<boolean> {
    try {
      await this.status();
      return true;
    } catch (error) {
      if (error instanceof UnavailableError) return false;
      throw error;
    }
  }

  async #call(call: Call, timeoutMs = CALL_TIMEOUT_MS): Promise<JSONObject> {
    const signal = AbortSignal.timeout(timeoutMs);
    const response = await this.#open({ ...call, signal });
    return parseObject(await textOf(response), "the keeper's answer");
  }

  /** Resolves with a response that is no refusal. */
  async #open({ method, path, body, signal }: Call): Promise<IncomingMessage> {
    const response = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = httpRequest({
        socketPath: this.#socketPath,
        method,
        path,
        agent: false,
        ...(signal === undefined ? {} : { signal }),
      });
      request.on("response", resolve);
      request.on("error", (cause) => {
        const text = `the keeper at ${this.#socketPath} does not answer: ${cause.message}`;
        reject(new UnavailableError(text, { cause }));
      });
      request.end(body === undefined ? undefined : JSON.stringify(body));
    });
    if (response.statusCode === 200) return response;
    throw refusal(await textOf(response));
  }
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = "";
  response.setEncoding("utf8");
  for await (const chunk of response as AsyncIterable<string>) {
    text += chunk;
    if (text.length > BODY_BYTES_MAX) throw new SystemError("the keeper's answer is too long");
  }
  return text;
}

function refusal(text: string): WeftError {
  const body = parseObject(text, "the keeper's answer");
  return errorOfCode(optionalString(body, "code") ?? "", stringField(body, "message"));
}

function decodeStatus(object: JSONObject): KeeperStatus {
  return {
    version: stringField(object, "version"),
    pid: Number(object["pid"]),
    networkNamespace: stringField(object, "networkNamespace"),
    dataDir: stringField(object, "dataDir"),
    ports: listOf(object["ports"], "ports").map(decodeHold),
    endpoints: listOf(object["endpoints"], "endpoints").map(decodeEndpoint),
  };
}

function decodeEvent(object: JSONObject): KeeperEvent {
  switch (object["kind"]) {
    case "ports":
      return { kind: "ports", ports: listOf(object["ports"], "ports").map(decodeHold) };
    case "endpoints": {
      const endpoints = listOf(object["endpoints"], "endpoints").map(decodeEndpoint);
      return { kind: "endpoints", endpoints };
    }
    default:
      throw new SystemError(`the keeper sent an event of kind ${String(object["kind"])}`);
  }
}

function decodeHold(value: unknown): PortHold {
  const object = objectOf(value, "a port");
  const protocol = object["protocol"] === "udp" ? "udp" : "tcp";
  const port = Number(object["port"]);
  if (object["state"] === "held") return { protocol, port, state: "held" };
  return { protocol, port, state: "busy", reason: stringField(object, "reason") };
}

function decodeEndpoint(value: unknown): KeeperEndpoint {
  const object = objectOf(value, "an endpoint");
  const addressIPv6 = optionalString(object, "addressIPv6");
  const sandboxKey = optionalString(object, "sandboxKey");
  return {
    networkID: stringField(object, "networkID"),
    endpointID: stringField(object, "endpointID"),
    address: stringField(object, "address"),
    link: stringField(object, "link"),
    state: object["state"] === "joined" ? "joined" : "created",
    ...(addressIPv6 === undefined ? {} : { addressIPv6 }),
    ...(object["vni"] === undefined ? {} : { vni: Number(object["vni"]) }),
    ...(sandboxKey === undefined ? {} : { sandboxKey }),
  };
}
