/** The daemon's side of the keeper: HTTP with JSON on the keeper's own unix socket, as protocol.ts has it. */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import { InvalidParameterError, NotFoundError } from "../base/errors.ts";
import { statusOf } from "../base/http-status.ts";
import type { Logger } from "../base/logger.ts";
import { createServer } from "../base/node-http.ts";
import { type JSONObject, listOf, parseObject, textsOf } from "./decode.ts";
import { decodeNameSetChange, type NameSetChange, nameSetID } from "./dns/names.ts";
import { errorBody, readBody, sendJSON } from "./http-body.ts";
import type { KeeperEvent, KeeperStatus, PortHold, PortRequest } from "./protocol.ts";
import { decodePorts } from "./state.ts";

/** A reader that lets more than this gather is cut off; it gets the whole state when it comes back. */
const EVENTS_BYTES_MAX = 1024 * 1024;

export interface ControlServerComponents {
  readonly log: Logger;
  readonly status: () => KeeperStatus;
  readonly holdPorts: (ports: readonly PortRequest[]) => Promise<readonly PortHold[]>;
  /** Both resolve when whoever is to be answered is, and nobody else. */
  readonly changeNames: (change: NameSetChange) => Promise<void>;
  readonly keepNames: (sets: readonly string[]) => Promise<void>;
  /** Resolves when another keeper, started with the command, has taken over. */
  readonly handOver: (command: readonly string[]) => Promise<void>;
  /** Answers first, then ends the keeper. */
  readonly stop: () => void;
}

type Handler = (body: JSONObject, response: ServerResponse) => Promise<void> | void;

export class ControlServer {
  readonly server: Server;
  readonly #components: ControlServerComponents;
  readonly #readers = new Set<ServerResponse>();
  readonly #handlers: Readonly<Record<string, Handler>> = {
    "GET /status": (_body, response) => sendJSON(response, 200, this.#components.status()),
    "PUT /ports": async (body, response) => {
      sendJSON(response, 200, { ports: await this.#components.holdPorts(decodePorts(body)) });
    },
    "PUT /names": async (body, response) => {
      await this.#components.changeNames(decodeNameSetChange(body));
      sendJSON(response, 200, {});
    },
    "PUT /name-sets": async (body, response) => {
      await this.#components.keepNames(textsOf(body["sets"], "sets").map(nameSetID));
      sendJSON(response, 200, {});
    },
    "GET /events": (_body, response) => this.#startEvents(response),
    "POST /handover": async (body, response) => {
      await this.#components.handOver(decodeCommand(body));
      response.on("finish", () => this.#components.stop());
      sendJSON(response, 200, {});
    },
    "POST /stop": (_body, response) => {
      response.on("finish", () => this.#components.stop());
      sendJSON(response, 200, {});
    },
  };

  constructor(components: ControlServerComponents) {
    this.#components = components;
    this.server = createServer((request, response) => void this.#serve(request, response));
    this.server.keepAliveTimeout = 0;
  }

  /** Tells all readers. */
  publish(event: KeeperEvent): void {
    const line = lineOf(event);
    for (const reader of this.#readers) {
      if (reader.writableLength + line.length > EVENTS_BYTES_MAX) reader.destroy();
      else reader.write(line);
    }
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const route = `${request.method} ${request.url}`;
    try {
      const handler = Object.hasOwn(this.#handlers, route) ? this.#handlers[route] : undefined;
      if (handler === undefined) throw new NotFoundError(`the keeper has no ${route}`);
      await handler(parseObject(await readBody(request), "the request"), response);
    } catch (error) {
      this.#components.log.warn("refused a call of the daemon", { route, error });
      // Half an answer cannot be taken back, and a second head would end the keeper.
      if (response.headersSent) response.destroy();
      else sendJSON(response, statusOf(error), errorBody(error));
    }
  }

  #startEvents(response: ServerResponse): void {
    const { ports, endpoints } = this.#components.status();
    response.writeHead(200, { "Content-Type": "application/jsonl" });
    response.write(lineOf({ kind: "ports", ports }) + lineOf({ kind: "endpoints", endpoints }));
    this.#readers.add(response);
    response.on("close", () => this.#readers.delete(response));
  }
}

/** More arguments than this are no command of ours. */
const ARGUMENTS_MAX = 64;

function decodeCommand(body: JSONObject): readonly string[] {
  const command = listOf(body["command"], "command");
  if (command.length === 0 || command.length > ARGUMENTS_MAX) {
    throw new InvalidParameterError("command is empty or too long");
  }
  return textsOf(command, "command");
}

function lineOf(event: KeeperEvent): string {
  return `${JSON.stringify(event)}\n`;
}
