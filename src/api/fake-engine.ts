/** A small Engine for the API's own tests: it remembers what reached it and answers what it was told. */

import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, request, type Server } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly headers: IncomingMessage["headers"];
  readonly body: string;
}

export interface FakeEngine {
  readonly host: string;
  readonly directory: string;
  readonly seen: SeenRequest[];
  /** Answers by "METHOD /path", as status and body, without end where there is no body; anything else is 404. */
  readonly answers: Map<string, readonly [number, string?]>;
  readonly server: Server;
  stop(): Promise<void>;
}

export async function startFakeEngine(): Promise<FakeEngine> {
  const directory = mkdtempSync(join(tmpdir(), "weft-api-"));
  const path = join(directory, "engine.sock");
  const seen: SeenRequest[] = [];
  const answers = new Map<string, readonly [number, string?]>([
    ["GET /version", [200, JSON.stringify({ ApiVersion: "1.41", MinAPIVersion: "1.12" })]],
  ]);
  const server = createServer((incoming, response) => {
    const chunks: Buffer[] = [];
    incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
    incoming.on("end", () => {
      const { method = "", url = "", headers } = incoming;
      seen.push({ method, url, headers, body: Buffer.concat(chunks).toString() });
      const notFound = [404, '{"message":"page not found"}'] as const;
      const [status, body] = answers.get(`${method} ${url}`) ?? notFound;
      response.writeHead(status, { "Content-Type": "application/json", "X-Engine": "1" });
      if (body === undefined) response.flushHeaders();
      else response.end(body);
    });
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    host: `unix://${path}`,
    directory,
    seen,
    answers,
    server,
    async stop() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
      rmSync(directory, { recursive: true, force: true });
    },
  };
}

export interface TestAnswer {
  readonly status: number;
  readonly headers: IncomingMessage["headers"];
  readonly text: string;
  /** The body as JSON; undefined where it is none. */
  readonly json: unknown;
}

export interface AskInit {
  readonly method?: string;
  readonly body?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

/** One request over a unix socket, its answer read whole. */
export function ask(host: string, path: string, init: AskInit = {}): Promise<TestAnswer> {
  return new Promise((resolve, reject) => {
    const outgoing = request(
      {
        socketPath: host.slice("unix://".length),
        path,
        method: init.method ?? "GET",
        headers: init.headers ?? {},
        agent: false,
      },
      (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("end", () => {
          const text = Buffer.concat(chunks).toString();
          resolve({
            status: answer.statusCode ?? 0,
            headers: answer.headers,
            text,
            json: parseOrNothing(text),
          });
        });
        answer.on("error", reject);
      },
    );
    outgoing.on("error", reject);
    outgoing.end(init.body);
  });
}

function parseOrNothing(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
