/** Requests over a unix socket: what the lab asks an Engine or a daemon without starting a CLI. */

import { request } from "node:http";
import type { Readable } from "node:stream";

export interface UnixRequest {
  readonly method?: string;
  readonly path: string;
  readonly body?: string | Readable;
  readonly headers?: Readonly<Record<string, string>>;
  readonly timeoutMs?: number;
}

export interface UnixResponse {
  readonly status: number;
  readonly body: string;
}

const TIMEOUT_MS = 10_000;

export function unixHttp(socketPath: string, init: UnixRequest): Promise<UnixResponse> {
  const { method = "GET", path, body, headers = {}, timeoutMs = TIMEOUT_MS } = init;
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(timeoutMs);
    const outgoing = request(
      { socketPath, method, path, headers: { host: "lab", ...headers }, signal, agent: false },
      (incoming) => {
        const chunks: Buffer[] = [];
        incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
        incoming.once("error", reject);
        incoming.once("end", () => {
          const text = Buffer.concat(chunks).toString("utf8");
          resolve({ status: incoming.statusCode ?? 0, body: text });
        });
      },
    );
    outgoing.once("error", reject);
    if (body === undefined || typeof body === "string") outgoing.end(body);
    else body.once("error", reject).pipe(outgoing);
  });
}

/** True when a server answers GET /_ping on this socket. */
export async function answersPing(socketPath: string): Promise<boolean> {
  try {
    return (await unixHttp(socketPath, { path: "/_ping", timeoutMs: 2_000 })).status === 200;
  } catch {
    return false;
  }
}
