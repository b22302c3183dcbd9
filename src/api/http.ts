/** The few things that every answer shares: bodies in, JSON out, errors as Docker words them. */
import type { IncomingMessage, ServerResponse } from "node:http";
import { InvalidParameterError, messageOf } from "../base/errors.ts";
import { statusOf } from "../base/http-status.ts";

/** Request headers beyond this are refused with 431. Go's bound; registry credentials travel in headers. */
export const MAX_HEADER_BYTES = 1024 * 1024;

/** A body for one of Weft's own paths beyond this is refused with 400; SwarmKit's messages end there too. */
export const MAX_BODY_BYTES = 4 * 1024 * 1024;

/** Whether the client holds its body back until it is asked for. */
export function expectsContinue(request: IncomingMessage): boolean {
  return request.headers.expect?.toLowerCase() === "100-continue";
}

/** Reads a request's body whole, or refuses it. */
export async function readBody(
  request: IncomingMessage,
  response: ServerResponse,
): Promise<Buffer> {
  if (expectsContinue(request)) response.writeContinue();
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request.iterator({ destroyOnReturn: false })) {
    // The stream has no encoding set, so its chunks are buffers.
    const bytes = chunk as Buffer;
    size += bytes.length;
    if (size > MAX_BODY_BYTES) {
      throw new InvalidParameterError(
        `the request's body is larger than ${MAX_BODY_BYTES / (1024 * 1024)} MiB`,
      );
    }
    chunks.push(bytes);
  }
  return Buffer.concat(chunks);
}

/** Answers with JSON; without a body where there is none. */
export function sendJson(response: ServerResponse, status: number, body?: unknown): void {
  if (response.headersSent || response.destroyed) return;
  const text = body === undefined ? "" : `${JSON.stringify(body)}\n`;
  if (body !== undefined) response.setHeader("Content-Type", "application/json");
  response.setHeader("Content-Length", Buffer.byteLength(text));
  response.writeHead(status).end(text);
}

/** Answers `{"message": …}` with the status of the error's class. */
export function sendError(response: ServerResponse, error: unknown): void {
  sendJson(response, statusOf(error), { message: messageOf(error) });
}
