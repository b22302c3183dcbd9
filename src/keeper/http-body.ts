/** What both of the keeper's HTTP servers share: bounded bodies, JSON answers, errors with their status. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { type ErrorCode, InvalidParameterError, messageOf, WeftError } from "../base/errors.ts";
import { BODY_BYTES_MAX } from "./decode.ts";

/** The whole body as text; a longer one than the keeper's bound is refused. */
export async function readBody(stream: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    length += chunk.length;
    if (length > BODY_BYTES_MAX) {
      throw new InvalidParameterError(`the body is longer than ${BODY_BYTES_MAX} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString("utf8");
}

export function sendJSON(
  response: ServerResponse,
  status: number,
  value: unknown,
  type = "application/json",
): void {
  const body = JSON.stringify(value);
  response.writeHead(status, { "Content-Type": type, "Content-Length": Buffer.byteLength(body) });
  response.end(body);
}

/** An error as it crosses a socket of the keeper's. */
export function errorBody(error: unknown): { message: string; code: ErrorCode } {
  const code = error instanceof WeftError ? error.code : "system";
  return { message: messageOf(error), code };
}
