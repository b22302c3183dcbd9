/** One question to a daemon's API, over its unix socket. */
import { request } from "node:http";
import { UnavailableError } from "../base/errors.ts";
import { UsageError } from "./command.ts";

const TIMEOUT_MS = 10_000;

/** Resolves with the decoded JSON of a 200; rejects with the daemon's own message otherwise. */
export async function askDaemon(
  host: string,
  path: string,
  method: "GET" | "POST" = "GET",
): Promise<unknown> {
  const socketPath = /^unix:\/\/(\/.*)$/.exec(host)?.[1];
  if (socketPath === undefined) throw new UsageError(`'${host}' is not as unix:///run/weft.sock`);
  const { status, body } = await ask(socketPath, path, method);
  const value = JSON.parse(body) as unknown;
  if (status === 200) return value;
  const message = (value as { readonly message?: unknown } | null)?.message;
  throw new UnavailableError(typeof message === "string" ? message : `status ${status}: ${body}`);
}

function ask(
  socketPath: string,
  path: string,
  method: string,
): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const signal = AbortSignal.timeout(TIMEOUT_MS);
    const outgoing = request({ socketPath, path, method, signal }, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.once("error", reject);
      incoming.once("end", () => {
        const body = Buffer.concat(chunks).toString("utf8");
        resolve({ status: incoming.statusCode ?? 0, body });
      });
    });
    outgoing.once("error", (cause: NodeJS.ErrnoException) => {
      const cure = cause.code === "ENOENT" ? " (is weft daemon running?)" : "";
      reject(new UnavailableError(`${socketPath}: ${cause.message}${cure}`, { cause }));
    });
    outgoing.end();
  });
}
