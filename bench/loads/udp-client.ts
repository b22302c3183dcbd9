/** `node udp-client.ts PLAN`: asks over some flows for a while and prints its counts as JSON. */
import { createSocket, type Socket } from "node:dgram";
import type { Histogram } from "../stats.ts";

export interface UDPPlan {
  readonly address: string;
  readonly port: number;
  readonly flows: number;
  readonly forMs: number;
}

export interface UDPCounts {
  readonly answered: number;
  /** Datagrams that no answer came to in time. */
  readonly lost: number;
  readonly seconds: number;
  /** All that were answered, those of the warm-up too, and the CPU time of this process before the first. */
  readonly answeredInAll: number;
  readonly startS: number;
  readonly latencyUs: Histogram;
}

/** A datagram without an answer for so long is lost, and the flow goes on with the next. */
const ANSWER_DEADLINE_MS = 250;
/** The first requests make the flows known on the way, and warm this program up. */
const WARM_UP_MS = 150;
const REQUEST = Buffer.alloc(64, "?");

class Flow {
  answered = 0;
  lost = 0;
  readonly latencyUs = new Map<number, number>();
  readonly #socket: Socket;
  #sentAt = 0;
  #deadline: NodeJS.Timeout | undefined;

  constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("message", () => this.#onAnswer());
    socket.on("error", () => {}); // refused: the deadline counts it
  }

  static open({ port, address }: UDPPlan): Promise<Flow> {
    const socket = createSocket("udp4");
    return new Promise((resolve) => {
      socket.connect(port, address, () => resolve(new Flow(socket)));
    });
  }

  ask(): void {
    this.#sentAt = performance.now();
    this.#socket.send(REQUEST);
    this.#deadline ??= setTimeout(() => this.#onDeadline(), ANSWER_DEADLINE_MS);
  }

  forget(): void {
    this.answered = 0;
    this.lost = 0;
    this.latencyUs.clear();
  }

  close(): void {
    clearTimeout(this.#deadline);
    this.#socket.close();
  }

  #onAnswer(): void {
    const tookUs = Math.round((performance.now() - this.#sentAt) * 1_000);
    this.latencyUs.set(tookUs, (this.latencyUs.get(tookUs) ?? 0) + 1);
    this.answered += 1;
    this.ask();
  }

  /** One timer for many requests: it only looks how old the last one is. */
  #onDeadline(): void {
    this.#deadline = undefined;
    const age = performance.now() - this.#sentAt;
    if (age >= ANSWER_DEADLINE_MS) {
      this.lost += 1;
      this.ask();
    } else {
      this.#deadline = setTimeout(() => this.#onDeadline(), ANSWER_DEADLINE_MS - age);
    }
  }
}

async function main(plan: UDPPlan): Promise<void> {
  const start = process.cpuUsage();
  const flows = await Promise.all(Array.from({ length: plan.flows }, () => Flow.open(plan)));
  for (const flow of flows) flow.ask();
  await new Promise((resolve) => setTimeout(resolve, WARM_UP_MS));
  const answeredBefore = answeredBy(flows);
  for (const flow of flows) flow.forget();
  const startedAt = performance.now();
  await new Promise((resolve) => setTimeout(resolve, plan.forMs));
  const counts: UDPCounts = {
    answered: answeredBy(flows),
    lost: flows.reduce((sum, flow) => sum + flow.lost, 0),
    seconds: (performance.now() - startedAt) / 1_000,
    answeredInAll: answeredBefore + answeredBy(flows),
    startS: (start.user + start.system) / 1e6,
    latencyUs: flows.flatMap((flow) => [...flow.latencyUs]),
  };
  for (const flow of flows) flow.close();
  process.stdout.write(JSON.stringify(counts));
}

function answeredBy(flows: readonly Flow[]): number {
  return flows.reduce((sum, flow) => sum + flow.answered, 0);
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? "{}") as UDPPlan);
