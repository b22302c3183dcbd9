/** The part "lists": how long users of a large cluster wait for `service ls` and `service ps`. */
import { ask } from "../../src/api/fake-engine.ts";
import { FakeBackend, NODE_ID } from "../../src/api/fake-manager.ts";
import { LoopbackApi } from "../../src/api/loopback-api.ts";
import { makePort, makeService, makeTask } from "../../src/cluster/factories.ts";
import { runOk } from "../../src/lab/process.ts";
import { timed } from "../../src/lab/timed.ts";
import type { Progress } from "../progress.ts";
import { type Summary, summarize } from "../stats.ts";

const SERVICES = 1_000;
const TASKS_PER_SERVICE = 10;
const TASKS = 10_000;
const ROUNDS = 15;
const ROUNDS_QUICK = 5;

export interface ListResult {
  readonly what: string;
  /** The API's answer, read whole. */
  readonly answerMs: Summary;
  /** Docker's CLI from its start to its end; most of it is the CLI's own. */
  readonly cliMs: Summary;
}

export interface ListsReport {
  readonly lists: readonly ListResult[];
}

export async function benchLists(
  options: { readonly isQuick: boolean },
  progress: Progress,
): Promise<ListsReport> {
  const rounds = options.isQuick ? ROUNDS_QUICK : ROUNDS;
  progress.part(`Lists: ${SERVICES} services, a service of ${TASKS} tasks`);
  const backend = new FakeBackend();
  await backend.populate();
  await fill(backend);
  await using api = await LoopbackApi.start({ backend });
  const { engine, host } = api;
  const ping = [200, "OK"] as const;
  engine.answers.set("GET /_ping", ping).set("HEAD /_ping", ping);
  const filters = encodeURIComponent(JSON.stringify({ service: { large: true } }));
  const asked = [
    [`service ls, ${SERVICES + 1} services`, "/services?status=true", ["service", "ls"]],
    [`service ps, ${TASKS} tasks`, `/tasks?filters=${filters}`, ["service", "ps", "large"]],
  ] as const;
  const lists: ListResult[] = [];
  for (const [what, path, args] of asked) {
    progress.step(what);
    const answerMs = await repeated(rounds, () => ask(host, path));
    const cliMs = await repeated(rounds, () => runOk(["docker", "-H", host, ...args]));
    lists.push({ what, answerMs, cliMs });
  }
  return { lists };
}

async function fill(backend: FakeBackend): Promise<void> {
  await backend.store.update((tx) => {
    for (let service = 0; service < SERVICES; service += 1) {
      const ports = [makePort({ publishedPort: 10_000 + service })];
      const id = `s${service}`;
      tx.put("service", makeService({ id, name: id, replicas: TASKS_PER_SERVICE, ports }));
      for (let slot = 1; slot <= TASKS_PER_SERVICE; slot += 1) {
        tx.put("task", makeTask({ serviceID: id, slot, nodeID: NODE_ID }));
      }
    }
    tx.put("service", makeService({ id: "large", name: "large", replicas: TASKS }));
    for (let slot = 1; slot <= TASKS; slot += 1) {
      tx.put("task", makeTask({ serviceID: "large", slot, nodeID: NODE_ID }));
    }
  });
}

async function repeated(rounds: number, work: () => Promise<unknown>): Promise<Summary> {
  const times: number[] = [];
  for (let round = 0; round < rounds; round += 1) {
    times.push(await timed(work));
  }
  return summarize(times);
}
