/**
 * TCP streams of a load: random bytes to an echo server for a while, then a half-close. What comes back must be
 * what was sent, by its SHA-256; the longest wait for a chunk's echo is the request's time.
 */
import { createHash, randomBytes } from "node:crypto";
import { connect, type Socket } from "node:net";
import { type Asking, failedWith, type LoadPlan, type Outcome } from "./load-plan.ts";

const CHUNK_BYTES = 2_048;
const CHUNK_INTERVAL_MS = 25;

export function streamAsking({ streamMs, timeoutMs }: LoadPlan): Asking {
  return {
    ask: ({ hostname, port }) => new Stream(hostname, Number(port), streamMs, timeoutMs).outcome,
    close: () => {},
  };
}

class Stream {
  readonly outcome: Promise<Outcome>;
  readonly #resolve: (outcome: Outcome) => void;
  readonly #socket: Socket;
  readonly #sent = createHash("sha256");
  readonly #received = createHash("sha256");
  /** Chunks whose echo is still out: when each was sent, and the stream's length with it. */
  readonly #waiting: { readonly at: number; readonly end: number }[] = [];
  readonly #endAt: number;
  readonly #deadline: NodeJS.Timeout;
  #sending: NodeJS.Timeout | undefined;
  #sentBytes = 0;
  #receivedBytes = 0;
  #waitedMs = 0;

  constructor(host: string, port: number, streamMs: number, timeoutMs: number) {
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    this.outcome = promise;
    this.#resolve = resolve;
    const startedAt = performance.now();
    this.#endAt = startedAt + streamMs;
    this.#deadline = setTimeout(() => this.#finish("timeout"), streamMs + timeoutMs);
    this.#socket = connect({ host, port, allowHalfOpen: true });
    this.#socket.on("connect", () => {
      this.#waitedMs = performance.now() - startedAt;
      this.#sending = setInterval(() => this.#send(), CHUNK_INTERVAL_MS);
    });
    this.#socket.on("data", (chunk) => this.#onEcho(chunk));
    this.#socket.on("end", () => this.#onEnd());
    this.#socket.on("error", (error: NodeJS.ErrnoException) =>
      this.#finish(error.code ?? error.message),
    );
  }

  #send(): void {
    const now = performance.now();
    if (now >= this.#endAt) {
      clearInterval(this.#sending);
      this.#socket.end();
      return;
    }
    const chunk = randomBytes(CHUNK_BYTES);
    this.#sent.update(chunk);
    this.#sentBytes += chunk.length;
    this.#waiting.push({ at: now, end: this.#sentBytes });
    this.#socket.write(chunk);
  }

  #onEcho(chunk: Buffer): void {
    this.#received.update(chunk);
    this.#receivedBytes += chunk.length;
    for (;;) {
      const [first] = this.#waiting;
      if (first === undefined || first.end > this.#receivedBytes) return;
      this.#waiting.shift();
      this.#waitedMs = Math.max(this.#waitedMs, performance.now() - first.at);
    }
  }

  #onEnd(): void {
    if (!this.#socket.writableEnded) this.#finish("closed by the server");
    else if (this.#sent.digest("hex") !== this.#received.digest("hex")) this.#finish("checksum");
    else this.#finish(undefined);
  }

  #finish(error: string | undefined): void {
    clearTimeout(this.#deadline);
    clearInterval(this.#sending);
    this.#socket.destroy();
    const waitedMs = Math.max(
      this.#waitedMs,
      ...this.#waiting.map(({ at }) => performance.now() - at),
    );
    const outcome = failedWith(error ?? "");
    this.#resolve({ ...outcome, error, waitedMs });
  }
}
