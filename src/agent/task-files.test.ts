/** What tasks read as files: on a node in memory whose secrets' directory is a real one. */
import assert from "node:assert/strict";
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import type { ConfigReference, SecretReference } from "../cluster/objects.ts";
import { FakeNode } from "./fake-node.ts";
import { makeMesh, makeTask } from "./fakes.ts";

let directory: string;
let node: FakeNode;
beforeEach(async () => {
  directory = mkdtempSync(join(tmpdir(), "weft-files-"));
  node = await new FakeNode(directory).start();
  node.agent.onMesh(makeMesh(1));
});
afterEach(async () => {
  await node.agent.stop();
  rmSync(directory, { recursive: true });
});

const me = { uid: String(process.getuid?.() ?? 0), gid: String(process.getgid?.() ?? 0) };
const secret = (id: string, name: string, mode = 0o444): SecretReference => ({
  secretID: id as SecretReference["secretID"],
  secretName: name,
  file: { name, ...me, mode },
});
const config = (id: string, name: string): ConfigReference => ({
  configID: id as ConfigReference["configID"],
  configName: name,
  file: { name, ...me, mode: 0o640 },
});
const reading = (secrets: readonly SecretReference[], configs: readonly ConfigReference[] = []) =>
  makeTask("t1", {
    spec: { containerSpec: { image: "nginx:latest", secrets, configs }, forceUpdate: 0 },
  });
const filesOf = () => {
  try {
    return readdirSync(join(directory, "secrets"));
  } catch {
    return [];
  }
};

test("a task reads its secrets and configs where it asked for them, with their modes", async () => {
  node.secrets.set("s1", Buffer.from("hush"));
  node.configs.set("c1", Buffer.from("open"));
  await node.assign(
    reading([secret("s1", "key", 0o400), secret("s1", "/etc/other")], [config("c1", "app.conf")]),
  );
  const mounts = node.runtime.containerOf("t1")?.config.mounts ?? [];
  assert.deepEqual(
    mounts.map(({ type, target, readOnly }) => [type, target, readOnly]),
    [
      ["bind", "/run/secrets/key", true],
      ["bind", "/etc/other", true],
      ["bind", "/app.conf", true],
    ],
  );
  const [key = "", , conf = ""] = mounts.map(({ source }) => source);
  assert.equal(readFileSync(key, "utf8"), "hush");
  assert.equal(statSync(key).mode & 0o7777, 0o400);
  assert.equal(readFileSync(conf, "utf8"), "open");
  assert.equal(statSync(conf).mode & 0o7777, 0o640);
  assert.equal(statSync(join(directory, "secrets")).mode & 0o7777, 0o700);
});

test("a task waits for a secret that is not told yet, and the data is in no file of the agent's and no log", async () => {
  await node.assign(reading([secret("s1", "key")]));
  assert.equal(node.reporter.statesOf("t1").at(-1), "preparing");
  assert.deepEqual(filesOf(), []);
  node.secrets.set("s1", Buffer.from("hush-hush"));
  await node.assign(reading([secret("s1", "key")]));
  await node.wait();
  assert.equal(node.reporter.statesOf("t1").at(-1), "running");
  const base64 = Buffer.from("hush-hush").toString("base64");
  const memory = readFileSync(join(directory, "agent", "memory.json"), "utf8");
  for (const text of [memory, node.logged.join("\n")]) {
    assert.ok(!text.includes("hush-hush") && !text.includes(base64));
  }
});

test("files outlive the daemon, and go with the task", async () => {
  node.secrets.set("s1", Buffer.from("hush"));
  await node.assign(reading([secret("s1", "key")]));
  node.secrets.clear();
  await node.restart();
  assert.equal(node.reporter.statesOf("t1").at(-1), "running");
  assert.deepEqual(filesOf(), ["t1"]);
  await node.assign({ ...reading([secret("s1", "key")]), desiredState: "shutdown" });
  assert.deepEqual(filesOf(), []);
});

test("a container that fails leaves no secret behind", async () => {
  node.secrets.set("s1", Buffer.from("hush"));
  await node.assign(reading([secret("s1", "key")]));
  node.runtime.exit("t1", 1);
  await node.settle();
  assert.equal(node.reporter.statesOf("t1").at(-1), "failed");
  assert.deepEqual(filesOf(), []);
});

test("what an earlier daemon left is swept when managers have said what runs here", async () => {
  node.secrets.set("s1", Buffer.from("hush"));
  await node.assign(reading([secret("s1", "key")]));
  await node.agent.stop();
  node.runtime.containers.clear();
  rmSync(join(directory, "agent"), { recursive: true });
  await node.restart();
  assert.deepEqual(filesOf(), ["t1"], "nobody has said yet that it is gone");
  await node.assign();
  assert.deepEqual(filesOf(), []);
});

test("an owner that is no number is the task's fault", async () => {
  node.secrets.set("s1", Buffer.from("hush"));
  const file = { name: "key", uid: "root", gid: "0", mode: 0o400 };
  await node.assign(reading([{ ...secret("s1", "key"), file }]));
  assert.equal(
    node.reporter.said.at(-1),
    't1 rejected: strconv.Atoi: parsing "root": invalid syntax',
  );
});
