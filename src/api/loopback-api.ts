/** The API at work for tests and benchmarks: over a manager in memory, beside an Engine that answers what it is told. */
import { systemClock } from "../base/clock.ts";
import { type Logger, silentLogger } from "../base/logger.ts";
import { type FakeEngine, startFakeEngine } from "./fake-engine.ts";
import { FakeBackend } from "./fake-manager.ts";
import { ApiServer } from "./server.ts";

export interface LoopbackApiInit {
  /** As it should be before the first question; a cluster of one where none is given. */
  readonly backend?: FakeBackend;
  readonly log?: Logger;
}

export class LoopbackApi implements AsyncDisposable {
  readonly engine: FakeEngine;
  readonly backend: FakeBackend;
  /** Where it is asked. */
  readonly host: string;
  readonly server: ApiServer;

  private constructor(engine: FakeEngine, backend: FakeBackend, log: Logger) {
    this.engine = engine;
    this.backend = backend;
    this.host = `unix://${engine.directory}/weft.sock`;
    this.server = new ApiServer({
      hosts: [this.host],
      dockerHost: engine.host,
      backend,
      clock: systemClock,
      log,
      version: "0.0.0",
    });
  }

  /** Resolves when it answers. */
  static async start(init: LoopbackApiInit = {}): Promise<LoopbackApi> {
    const backend = init.backend ?? new FakeBackend();
    if (init.backend === undefined) await backend.populate();
    const api = new LoopbackApi(await startFakeEngine(), backend, init.log ?? silentLogger);
    await api.server.start();
    return api;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stop();
    await this.engine.stop();
  }
}
