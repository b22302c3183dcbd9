/** Whether an endpoint is there, asked through the mesh's own rules on real kernels: what a manager judges a silent node by. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { inNamespace, Lab, whyNot } from "./datapath/lab.ts";
import { Mesh } from "./datapath/mesh.ts";

const PROBE = join(import.meta.dirname, "../../src/dispatcher/endpoint-probe.ts");
const TASKS = [
  { name: "a1", host: "h1", address: "10.255.0.10" },
  { name: "b2", host: "h2", address: "10.255.0.11" },
  { name: "c3", host: "h3", address: "10.255.0.12" },
] as const;

describe("an endpoint is asked whether it is there", { skip: whyNot() }, () => {
  let lab: Lab;
  let mesh: Mesh;

  before(async () => {
    lab = await Lab.make();
    mesh = new Mesh(lab, TASKS);
    await mesh.startTasks();
    mesh.publish(8080, ["a1", "b2", "c3"]);
    await mesh.apply();
  });
  after(async () => await lab[Symbol.asyncDispose]());

  /** Asks from h1, as its manager would. */
  async function answers(address: string): Promise<boolean> {
    const code = `import { tcpEndpointProbe } from ${JSON.stringify(PROBE)};
      console.log(await tcpEndpointProbe.answers(${JSON.stringify(address)}));`;
    const args = ["--input-type=module", "-e", code];
    const command = ["netns", "exec", lab.host("h1").namespace, process.execPath, ...args];
    const { stdout } = await promisify(execFile)("ip", command);
    return stdout.trim() === "true";
  }

  it("on this host and on another, whether their daemons run or not", async () => {
    assert.deepEqual(await Promise.all(TASKS.map(({ address }) => answers(address))), [
      true,
      true,
      true,
    ]);
    await lab.host("h2").killDaemon();
    assert.ok(await answers("10.255.0.11"));
  });

  it("not when its container is gone", async () => {
    await inNamespace(mesh.place("b2").namespace, ["ip", "link", "del", "eth0"]);
    assert.ok(!(await answers("10.255.0.11")));
  });

  it("not when its host is cut off", async () => {
    await inNamespace(lab.host("h3").namespace, ["ip", "link", "set", "eth0", "down"]);
    const started = performance.now();
    assert.ok(!(await answers("10.255.0.12")));
    assert.ok(performance.now() - started < 5_000);
  });

  it("not when there is no mesh", async () => {
    assert.ok(!(await answers("10.255.0.99")));
  });
});
