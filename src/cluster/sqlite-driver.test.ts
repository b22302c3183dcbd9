import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { test } from "node:test";
import { fileURLToPath } from "node:url";
import { FakeClock, systemClock } from "../base/clock.ts";
import type { SecretID } from "../base/ids.ts";
import { silentLogger } from "../base/logger.ts";
import { DriverStore } from "./driver-store.ts";
import { makeNode } from "./factories.ts";
import { openStore, storeDirectory } from "./open-store.ts";
import { SqliteDriver } from "./sqlite-driver.ts";
import { storeContract } from "./store-contract.ts";

async function withDirectory(run: (directory: string) => Promise<void>): Promise<void> {
  const directory = await mkdtemp(join(tmpdir(), "weft-store-"));
  try {
    await run(directory);
  } finally {
    await rm(directory, { recursive: true });
  }
}

storeContract("sqlite", (run) =>
  withDirectory(async (directory) => {
    const clock = new FakeClock();
    const open = async () => {
      const driver = new SqliteDriver(directory, {
        changelogRevisions: 20,
        compactionInterval: 10,
      });
      const components = { driver, clock, log: silentLogger };
      return new DriverStore(components, await driver.load(), await driver.readSecrets());
    };
    let store = await open();
    await run({
      store,
      clock,
      reopen: async () => {
        await store.close();
        store = await open();
        return store;
      },
    });
    await store.close();
  }),
);

test("one data directory is open once at a time", () =>
  withDirectory(async (dataDir) => {
    const init = { dataDir, clock: systemClock, log: silentLogger };
    const store = await openStore(init);
    await store.update((tx) => tx.put("node", makeNode({ id: "n1" })));
    await assert.rejects(openStore(init), { name: "ConflictError", message: /in use by another/ });
    await store.update((tx) => tx.put("node", makeNode({ id: "n2" })));
    await store.close();
    const again = await openStore(init);
    assert.equal(again.view().list("node").length, 2);
    await again.close();
  }));

test("the files are their owner's alone", () =>
  withDirectory(async (dataDir) => {
    const store = await openStore({ dataDir, clock: systemClock, log: silentLogger });
    await store.secrets.set("ca-key", "secret");
    const directory = storeDirectory(dataDir);
    assert.equal((await stat(directory)).mode & 0o777, 0o700);
    const files = await readdir(directory);
    assert.ok(files.length >= 2, files.join(" "));
    for (const file of files) {
      assert.equal((await stat(join(directory, file))).mode & 0o777, 0o600, file);
    }
    await store.close();
  }));

test("a store of a newer format is refused, not misread", () =>
  withDirectory(async (directory) => {
    await new SqliteDriver(directory).close();
    const database = new DatabaseSync(join(directory, "cluster.sqlite"));
    database.exec("UPDATE meta SET value = 99 WHERE name = 'schema'");
    database.close();
    assert.throws(() => new SqliteDriver(directory), { name: "SystemError", message: /format 99/ });
  }));

const ROUNDS = 8;
const CHILD = fileURLToPath(new URL("./durability-child.ts", import.meta.url));

test("kill -9 at any moment loses no acknowledged write", () =>
  withDirectory(async (dataDir) => {
    const acknowledged: string[] = [];
    for (let round = 0; round < ROUNDS; round++) {
      const args = [CHILD, dataDir, String(1_000_000 * round)];
      const child = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
      const killAfter = 1 + Math.floor(Math.random() * 400);
      let output = "";
      child.stdout.setEncoding("utf8").on("data", (text: string) => {
        output += text;
        if (output.split("\n").length > killAfter) child.kill("SIGKILL");
      });
      await once(child, "close");
      // A line that was cut short was not acknowledged.
      acknowledged.push(...output.split("\n").slice(0, -1));
      const store = await openStore({ dataDir, clock: systemClock, log: silentLogger });
      const stored = new Set(
        store
          .view()
          .list("node")
          .map(({ id }) => id as string),
      );
      const lost = acknowledged.filter((id) => !stored.has(id));
      assert.deepEqual(lost, [], `round ${round}, killed after ${killAfter} acknowledgements`);
      assert.ok(store.view().revision >= acknowledged.length);
      await store.close();
    }
    assert.ok(acknowledged.length >= ROUNDS);
  }));

test("a secret that was changed and removed is nowhere in the files; its events are still told", () =>
  withDirectory(async (directory) => {
    const driver = new SqliteDriver(directory);
    const components = { driver, clock: new FakeClock(), log: silentLogger };
    const store = new DriverStore(components, await driver.load(), await driver.readSecrets());
    const data = Buffer.from("what nobody is to read again ".repeat(400)).toString("base64");
    const secret = (labels: Record<string, string>) => ({
      id: "s1" as SecretID,
      spec: { name: "password", labels, data },
    });
    await store.update((tx) => tx.put("node", makeNode({ id: "n1" })));
    await store.update((tx) => tx.put("secret", secret({})));
    const texts = async () => {
      const files = await readdir(directory);
      return await Promise.all(files.map((file) => readFile(join(directory, file), "latin1")));
    };
    assert.ok((await texts()).some((text) => text.includes(data.slice(400, 440))));
    await store.update((tx) => tx.put("secret", secret({ a: "b" })));
    assert.equal(store.view().get("secret", "s1")?.spec.data, data);
    await store.update((tx) => tx.delete("secret", "s1"));
    for (const text of await texts()) assert.ok(!text.includes(data.slice(400, 440)));
    const events = (await driver.history(1)) ?? [];
    const told = events.flatMap(({ changes }) =>
      changes.map(({ action, kind, object }) => `${action} ${kind} ${object.id}`),
    );
    assert.deepEqual(told, ["create secret s1", "update secret s1", "remove secret s1"]);
    await store.close();
  }));
