/** DNS questions of a load over UDP: one datagram, one answer, and asked again when none comes, as resolvers do. */
import { createSocket, type Socket } from "node:dgram";
import { decodeRecords, encodeQuestion } from "./dns-worker.ts";
import { type Asking, failedWith, type LoadPlan, type Outcome } from "./load-plan.ts";

/** The lab's DNS server answers it with its own task's name. */
const QUESTION = { name: "task.test", type: "TXT" } as const;
const TIMEOUT = "timeout";
/** As dig does: three tries in all. */
const RETRIES_MAX = 2;
const ID_MAX = 65_535;

/** With `keepAlive` a client asks each server from one port, so that all its questions are one flow. */
export function dnsAsking({ keepAlive, timeoutMs }: LoadPlan): Asking {
  const kept = new Map<string, Client>();
  return {
    ask: async (url) => {
      const client = kept.get(url.host) ?? new Client(url);
      if (keepAlive) kept.set(url.host, client);
      try {
        return await client.ask(timeoutMs);
      } finally {
        if (!keepAlive) client.close();
      }
    },
    close: () => {
      for (const client of kept.values()) client.close();
    },
  };
}

class Client {
  readonly #socket: Socket = createSocket("udp4");
  readonly #connected: Promise<void>;
  #id = 0;
  #answer: (outcome: Outcome) => void = () => {};

  constructor({ hostname, port }: URL) {
    // Connected, so that a port that nobody serves is an error and not silence.
    this.#connected = new Promise((resolve) =>
      this.#socket.connect(Number(port), hostname, resolve),
    );
    this.#socket.on("error", (error: NodeJS.ErrnoException) =>
      this.#answer(failedWith(error.code ?? error.message)),
    );
    this.#socket.on("message", (reply) => {
      // An answer that comes after its question was given up is nobody's.
      if (reply.readUInt16BE(0) !== this.#id) return;
      this.#answer({
        ...failedWith(""),
        error: undefined,
        firstLine: decodeRecords(reply)[0] ?? "",
      });
    });
  }

  async ask(timeoutMs: number): Promise<Outcome> {
    await this.#connected;
    for (let retries = 0; ; retries++) {
      const outcome = await this.#askOnce(timeoutMs);
      if (outcome.error !== TIMEOUT || retries === RETRIES_MAX) return { ...outcome, retries };
    }
  }

  async #askOnce(timeoutMs: number): Promise<Outcome> {
    this.#id = (this.#id % ID_MAX) + 1;
    const { promise, resolve } = Promise.withResolvers<Outcome>();
    this.#answer = resolve;
    const deadline = setTimeout(() => resolve(failedWith(TIMEOUT)), timeoutMs);
    this.#socket.send(encodeQuestion(QUESTION, this.#id));
    const outcome = await promise;
    clearTimeout(deadline);
    return outcome;
  }

  close(): void {
    this.#socket.close();
  }
}
