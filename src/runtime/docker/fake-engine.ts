/** A socket that answers as a test says: for what a real Engine in the lab cannot be made to say. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { EngineClient } from "./engine-client.ts";

export type FakeAnswer = (request: IncomingMessage, response: ServerResponse) => void;

/** `await using engine = await FakeEngine.serve(…)`. */
export class FakeEngine implements AsyncDisposable {
  readonly client: EngineClient;
  readonly socketPath: string;
  /** Method, path without version, and query of each call. */
  readonly asked: { readonly call: string; readonly query: URLSearchParams }[] = [];
  readonly #directory = mkdtempSync(join(tmpdir(), "weft-engine-"));
  readonly #server: Server;

  private constructor(answer: FakeAnswer) {
    this.socketPath = join(this.#directory, "engine.sock");
    this.client = new EngineClient({ socketPath: this.socketPath });
    this.#server = createServer((request, response) => {
      const url = new URL(request.url ?? "/", "http://docker");
      if (url.pathname === "/version") return void response.end('{"ApiVersion":"1.41"}');
      const path = url.pathname.replace(/^\/v[\d.]+/, "");
      this.asked.push({ call: `${request.method} ${path}`, query: url.searchParams });
      return answer(request, response);
    });
  }

  static async serve(answer: FakeAnswer): Promise<FakeEngine> {
    const engine = new FakeEngine(answer);
    await new Promise<void>((resolve) => engine.#server.listen(engine.socketPath, resolve));
    return engine;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.client.close();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
    rmSync(this.#directory, { recursive: true });
  }
}
