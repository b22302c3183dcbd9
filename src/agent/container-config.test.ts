import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { taskName } from "../cluster/names.ts";
import type { Task } from "../cluster/objects.ts";
import { containerConfigOf } from "./container-config.ts";
import { makeTask } from "./fakes.ts";

const NODE = {
  nodeID: "node-1",
  hostname: "n1",
  platform: { architecture: "x86_64", os: "linux" },
};
const configOf = (task: Task) => containerConfigOf(task, NODE);

describe("a task's container", () => {
  it("is named by service, slot and task; by node where the slot is the node", () => {
    assert.equal(taskName(makeTask("t1")), "web.1.t1");
    const { slot: _slot, ...globalTask } = makeTask("t2");
    assert.equal(taskName(globalTask as Task), "web.node-1.t2");
  });

  it("carries Docker's labels over any of the spec's", () => {
    const containerSpec = {
      image: "nginx",
      labels: { colour: "blue", "com.docker.swarm.task.id": "forged" },
    };
    const { labels } = configOf(makeTask("t1", { spec: { containerSpec, forceUpdate: 0 } }));
    assert.deepEqual(labels, {
      colour: "blue",
      "com.docker.swarm.node.id": "node-1",
      "com.docker.swarm.service.id": "service-1",
      "com.docker.swarm.service.name": "web",
      "com.docker.swarm.task": "",
      "com.docker.swarm.task.id": "t1",
      "com.docker.swarm.task.name": "web.1.t1",
    });
  });

  it("has 10 seconds to stop unless the spec says otherwise", () => {
    assert.equal(configOf(makeTask("t1")).stopGraceMs, 10_000);
    const containerSpec = { image: "nginx", stopGracePeriod: 250_000_000 };
    const spec = { containerSpec, forceUpdate: 0 };
    assert.equal(configOf(makeTask("t1", { spec })).stopGraceMs, 250);
  });

  it("has its address without prefix length, and the Engine's own bridge where there is none", () => {
    assert.deepEqual(configOf(makeTask("t1")).networks, [
      { name: "ingress", addresses: ["10.0.0.1"] },
    ]);
    const plain = makeTask("t1", { networksAttachments: [] });
    assert.equal("networks" in configOf(plain), false);
  });

  it("turns lines of a hosts file into names with addresses", () => {
    const containerSpec = { image: "nginx", hosts: ["10.1.2.3 one two", "  fd00::1\tthree "] };
    const { extraHosts } = configOf(makeTask("t1", { spec: { containerSpec, forceUpdate: 0 } }));
    assert.deepEqual(extraHosts, ["one:10.1.2.3", "two:10.1.2.3", "three:fd00::1"]);
  });
});
