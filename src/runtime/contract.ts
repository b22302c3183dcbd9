/**
 * What every runtime does, as one suite: it runs over the fake beside the code, and over a Docker Engine in
 * test/e2e. A program is what a container does; each runtime says how it is told.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { NotFoundError } from "../base/errors.ts";
import type { ContainerConfig, ContainerState, Runtime, RuntimeEvent } from "./runtime.ts";

export const CONTRACT_PROGRAMS = [
  "forever",
  "stubborn",
  "exit-3",
  "talk",
  "sick",
  "missing",
] as const;
/**
 * `forever` ends with 7 on its stop signal; `stubborn` does not heed it; `exit-3` ends by itself; `talk` writes
 * "out" and "err" and stays; `sick` fails its health check; `missing` is not in the image.
 */
export type ContractProgram = (typeof CONTRACT_PROGRAMS)[number];

export interface ContractHarness {
  /** An image that the runtime has. */
  readonly image: string;
  runtime(): Runtime;
  /** What of a container's config makes it do this. */
  program(program: ContractProgram): Partial<ContainerConfig>;
}

/** Nothing of the contract takes longer on a real Engine; what does has failed. */
const DEADLINE_MS = 20_000;
const ALL_LOGS = { stdout: true, stderr: true, follow: false, timestamps: true };

export function runtimeContract(name: string, harness: ContractHarness): void {
  let made = 0;
  const make = (program: ContractProgram): ContainerConfig => {
    made += 1;
    const taskID = `${program}-${made}`;
    return {
      name: `web.${made}.${taskID}`,
      taskID,
      image: harness.image,
      labels: { purpose: "contract" },
      env: [],
      mounts: [],
      stopGraceMs: 1_000,
      ...harness.program(program),
    };
  };
  const started = async (program: ContractProgram) => {
    const containerID = await harness.runtime().create(make(program));
    await harness.runtime().start(containerID);
    return containerID;
  };
  const state = (containerID: string) => harness.runtime().inspect(containerID);

  describe(`runtime contract: ${name}`, { timeout: 6 * DEADLINE_MS }, () => {
    it("describes the node", async () => {
      const description = await harness.runtime().describe();
      assert.equal(description.platform.os, "linux");
      assert.ok((description.resources.nanoCPUs ?? 0) >= 1_000_000_000);
      assert.ok((description.resources.memoryBytes ?? 0) > 0);
    });

    it("is content with an image that is there, and names one that is not as Docker does", async () => {
      await harness.runtime().ensureImage(harness.image);
      await assert.rejects(harness.runtime().ensureImage("weft-no-such-image"), (error) => {
        assert.ok(error instanceof NotFoundError, String(error));
        assert.match(error.message, /^No such image: weft-no-such-image:latest \(.+\)$/);
        return true;
      });
      const config = { ...make("forever"), image: "weft-no-such-image" };
      await assert.rejects(harness.runtime().create(config), /No such image: weft-no-such-image/);
    });

    it("takes a container through its life", async () => {
      const config = make("forever");
      const containerID = await harness.runtime().create(config);
      assert.equal((await state(containerID))?.phase, "created");
      await harness.runtime().start(containerID);
      const running = await state(containerID);
      assert.equal(running?.phase, "running");
      assert.equal(running?.taskID, config.taskID);
      assert.equal(running?.health, "none");
      assert.ok((running?.pid ?? 0) > 0);
      await harness.runtime().start(containerID);
      await harness.runtime().stop(containerID, { graceMs: 10_000 });
      const exited = await state(containerID);
      assert.equal(exited?.phase, "exited");
      assert.equal(exited?.exitCode, 7);
      await harness.runtime().remove(containerID);
      assert.equal(await state(containerID), undefined);
    });

    it("makes one container of a task however often it is asked", async () => {
      const config = make("forever");
      const ids = await Promise.all([
        harness.runtime().create(config),
        harness.runtime().create(config),
      ]);
      ids.push(await harness.runtime().create(config));
      assert.equal(new Set(ids).size, 1);
      const listed = await harness.runtime().list();
      assert.equal(listed.filter(({ taskID }) => taskID === config.taskID).length, 1);
      await harness.runtime().remove(ids[0] as string);
    });

    it("kills what does not heed its stop signal", async () => {
      const containerID = await started("stubborn");
      await harness.runtime().stop(containerID, { graceMs: 1_000 });
      assert.equal((await state(containerID))?.exitCode, 137);
      await harness.runtime().remove(containerID);
    });

    it("is not troubled by stopping or removing what is gone", async () => {
      const containerID = await started("exit-3");
      await until(async () => (await state(containerID))?.phase === "exited");
      assert.equal((await state(containerID))?.exitCode, 3);
      await harness.runtime().stop(containerID, { graceMs: 1_000 });
      await harness.runtime().remove(containerID);
      await harness.runtime().stop(containerID, { graceMs: 1_000 });
      await harness.runtime().remove(containerID);
    });

    it("removes a container that runs", async () => {
      const containerID = await started("stubborn");
      await harness.runtime().remove(containerID);
      assert.equal(await state(containerID), undefined);
    });

    it("says why a start failed, then and later", async () => {
      const containerID = await harness.runtime().create(make("missing"));
      await assert.rejects(harness.runtime().start(containerID), /not found/);
      const failed = await state(containerID);
      assert.notEqual(failed?.phase, "running");
      assert.match(failed?.error ?? "", /not found/);
      await harness.runtime().remove(containerID);
    });

    it("tells a sick container", async () => {
      const containerID = await started("sick");
      await until(async () => (await state(containerID))?.health === "unhealthy");
      assert.equal((await state(containerID))?.phase, "running");
      await harness.runtime().remove(containerID);
    });

    it("tells of starts, ends and removals, and of those meanwhile to a reader that comes back", async () => {
      const heard: RuntimeEvent[] = [];
      const first = await started("forever");
      await listen(harness.runtime(), heard, { containerID: first, kind: "start" });
      await harness.runtime().stop(first, { graceMs: 10_000 });
      await harness.runtime().remove(first);
      await listen(harness.runtime(), heard, { containerID: first, kind: "remove" });
      const kinds = heard
        .filter(({ containerID }) => containerID === first)
        .map(({ kind }) => kind);
      assert.deepEqual([...new Set(kinds)], ["start", "die", "remove"]);
    });

    it("reads logs by stream, each line with its time", async () => {
      const containerID = await started("talk");
      const everything = await until(async () => {
        const lines = await logLines(harness.runtime(), containerID, ALL_LOGS);
        return lines.length === 2 ? lines : undefined;
      });
      const plain = everything.map((line) => line.replace(/ [\d:.TZ-]+ /, " ")).sort();
      assert.deepEqual(plain, ["stderr err\n", "stdout out\n"]);
      for (const line of everything) assert.match(line, / \d{4}-\d\d-\d\dT[\d:.]+Z /);
      const errors = await logLines(harness.runtime(), containerID, {
        ...ALL_LOGS,
        stdout: false,
        timestamps: false,
      });
      assert.deepEqual(errors, ["stderr err\n"]);
      const none = await logLines(harness.runtime(), containerID, { ...ALL_LOGS, tail: 0 });
      assert.deepEqual(none, []);
      await harness.runtime().remove(containerID);
    });

    it("follows logs until the container ends, or nobody reads", async () => {
      const containerID = await started("talk");
      const reading = logLines(harness.runtime(), containerID, { ...ALL_LOGS, follow: true });
      const unread = new AbortController();
      const stream = harness
        .runtime()
        .logs(containerID, { ...ALL_LOGS, follow: true }, unread.signal);
      for await (const _ of stream) unread.abort();
      await harness.runtime().stop(containerID, { graceMs: 1_000 });
      assert.equal((await reading).length, 2);
      await harness.runtime().remove(containerID);
    });

    it("lists every container of Weft's with its task", async () => {
      const containerID = await started("forever");
      const listed = await harness.runtime().list();
      const own = listed.find((container: ContainerState) => container.containerID === containerID);
      assert.equal(own?.phase, "running");
      await harness.runtime().remove(containerID);
    });
  });
}

/** Reads events until the wanted one is heard. */
async function listen(
  runtime: Runtime,
  heard: RuntimeEvent[],
  wanted: Omit<RuntimeEvent, "taskID">,
): Promise<void> {
  const reading = new AbortController();
  const deadline = setTimeout(
    () => reading.abort(new Error(`no ${wanted.kind} heard`)),
    DEADLINE_MS,
  );
  for await (const event of runtime.events(reading.signal)) {
    heard.push(event);
    if (event.containerID === wanted.containerID && event.kind === wanted.kind) reading.abort();
  }
  clearTimeout(deadline);
  assert.ok(heard.some((e) => e.containerID === wanted.containerID && e.kind === wanted.kind));
}

async function logLines(
  runtime: Runtime,
  containerID: string,
  options: Parameters<Runtime["logs"]>[1],
): Promise<string[]> {
  const lines: string[] = [];
  for await (const { stream, data } of runtime.logs(
    containerID,
    options,
    AbortSignal.timeout(DEADLINE_MS),
  )) {
    lines.push(`${stream} ${Buffer.from(data).toString()}`);
  }
  return lines;
}

/** Looks again until there is something to see: the program in the container is not ours to wait for. */
async function until<T>(look: () => Promise<T | undefined>): Promise<NonNullable<T>> {
  const deadline = performance.now() + DEADLINE_MS;
  for (;;) {
    const seen = await look();
    if (seen) return seen;
    assert.ok(performance.now() < deadline, "waited in vain");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
