/** What a handler is given, and what it gives back. Handlers know no HTTP framework. */
import type { IncomingMessage, ServerResponse } from "node:http";
import type { Clock } from "../base/clock.ts";
import { InvalidParameterError } from "../base/errors.ts";
import type { Logger } from "../base/logger.ts";
import type { NodeBackend } from "./backend.ts";
import type { ClusterEvents } from "./cluster-events.ts";
import type { Engine } from "./engine.ts";
import { readBody } from "./http.ts";

/** What all handlers share. */
export interface ApiContext {
  readonly backend: NodeBackend;
  readonly engine: Engine;
  readonly events: ClusterEvents;
  readonly clock: Clock;
  readonly log: Logger;
  /** The metrics page; absent where nobody measures. */
  readonly metrics?: () => Promise<string>;
}

/** `undefined`: the handler has written the answer itself. */
export type Answer = { readonly status: number; readonly body?: unknown } | undefined;

export type Handler = (call: ApiCall) => Promise<Answer> | Answer;

/** One request for one of Weft's paths. */
export interface ApiCall {
  readonly context: ApiContext;
  /** The path's variables, decoded. */
  readonly params: Readonly<Record<string, string>>;
  readonly query: URLSearchParams;
  /** Path and query as the client wrote them, version and all. */
  readonly url: string;
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  /** Aborted when the client is gone. */
  readonly signal: AbortSignal;
}

/** A path variable that the route's own pattern guarantees. */
export function param(call: ApiCall, name: string): string {
  return call.params[name] ?? "";
}

export function bodyOf(call: ApiCall): Promise<Buffer> {
  return readBody(call.request, call.response);
}

/** Docker's reading of a flag: anything but "", "0", "no", "false" and "none" is yes. */
export function boolParam(query: URLSearchParams, name: string): boolean {
  const value = (query.get(name) ?? "").trim().toLowerCase();
  return !["", "0", "no", "false", "none"].includes(value);
}

/** A flag read by Go's strconv.ParseBool, which some of Docker's paths use. */
export function strictBoolParam(query: URLSearchParams, name: string): boolean {
  const value = query.get(name) ?? "";
  if (["", "0", "f", "F", "FALSE", "false", "False"].includes(value)) return false;
  if (["1", "t", "T", "TRUE", "true", "True"].includes(value)) return true;
  throw new InvalidParameterError(
    `invalid value for ${name}: ${value}: strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`,
  );
}

/** The object version that a write names; `what` as in "invalid service version". */
export function versionParam(query: URLSearchParams, what: string): number {
  const text = query.get("version") ?? "";
  const version = Number(text);
  if (/^\d+$/.test(text) && Number.isSafeInteger(version)) return version;
  const reason = /^\d+$/.test(text) ? "value out of range" : "invalid syntax";
  throw new InvalidParameterError(
    `invalid ${what} version '${text}': strconv.ParseUint: parsing ${JSON.stringify(text)}: ${reason}`,
  );
}
