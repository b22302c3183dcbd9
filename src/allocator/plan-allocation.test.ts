import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  makeAttachment,
  makeNetwork,
  makeNode,
  makeOverlay,
  makePort,
  makeService,
  makeTask,
} from "../cluster/factories.ts";
import type { EndpointSpec, PortConfig } from "../cluster/objects.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import type { Snapshot, Store } from "../cluster/store.ts";
import { isOver } from "../cluster/task-lifecycle.ts";
import { type AllocationCursors, type AllocationPlan, planAllocation } from "./plan-allocation.ts";

const NOW = "2026-01-01T00:00:00.000Z";

/** A store with the plan applied after each change, as the loop does it. */
class Cluster {
  readonly store: Store = createMemoryStore();
  cursors: AllocationCursors = { ports: {} };
  plan: AllocationPlan | undefined;

  async change(write: Parameters<Store["update"]>[0]): Promise<Snapshot> {
    await this.store.update(write);
    await this.store.update((tx) => {
      this.plan = planAllocation(tx, this.cursors, NOW);
      for (const service of this.plan.services) tx.put("service", service);
      for (const node of this.plan.nodes) tx.put("node", node);
      for (const task of this.plan.tasks) tx.put("task", task);
      for (const attachment of this.plan.attachments) tx.put("attachment", attachment);
      this.cursors = this.plan.cursors;
    });
    return this.store.view();
  }
  ports(serviceID: string): (number | undefined)[] | undefined {
    const endpoint = this.store.view().get("service", serviceID)?.endpoint;
    return endpoint?.ports.map(({ publishedPort }) => publishedPort);
  }
}

function unpublished(init: Partial<PortConfig> = {}): PortConfig {
  const { publishedPort: _publishedPort, ...port } = makePort(init);
  return port;
}

function vip(ports: readonly PortConfig[]): { readonly endpointSpec: EndpointSpec } {
  return { endpointSpec: { mode: "vip", ports } };
}

const newTask = (id: string, serviceID: string) => makeTask({ id, serviceID, state: "new" });

test("dynamic ports go 30000, 30001 per protocol, and a freed one is not the next", async () => {
  const cluster = new Cluster();
  await cluster.change((tx) => {
    tx.put("network", makeNetwork());
    tx.put(
      "service",
      makeService({ id: "a", ports: [unpublished(), unpublished({ targetPort: 81 })] }),
    );
  });
  await cluster.change((tx) =>
    tx.put("service", makeService({ id: "b", ports: [unpublished({ protocol: "udp" })] })),
  );
  assert.deepEqual(cluster.ports("a"), [30_000, 30_001]);
  assert.deepEqual(cluster.ports("b"), [30_000]);
  await cluster.change((tx) => tx.delete("service", "a"));
  await cluster.change((tx) => tx.put("service", makeService({ id: "c", ports: [unpublished()] })));
  assert.deepEqual(cluster.ports("c"), [30_002]);
});

test("a dynamic port is kept over updates, and taken from nobody", async () => {
  const cluster = new Cluster();
  await cluster.change((tx) => {
    tx.put("network", makeNetwork());
    tx.put("service", makeService({ id: "x", ports: [makePort({ publishedPort: 30_000 })] }));
    tx.put(
      "service",
      makeService({ id: "h", ports: [makePort({ publishedPort: 30_001, publishMode: "host" })] }),
    );
    tx.put("service", makeService({ id: "a", ports: [unpublished()] }));
  });
  assert.deepEqual(cluster.ports("a"), [30_002]);
  const service = cluster.store.view().get("service", "a");
  assert.ok(service?.endpoint);
  await cluster.change((tx) =>
    tx.put("service", {
      ...service,
      spec: {
        ...service.spec,
        ...vip([makePort({ publishedPort: 9090, targetPort: 81 }), unpublished()]),
      },
    }),
  );
  assert.deepEqual(cluster.ports("a"), [9090, 30_002]);
  const after = cluster.store.view().get("service", "a");
  assert.deepEqual(after?.endpoint?.virtualIPs, service.endpoint.virtualIPs, "so is the VIP");
});

test("a port that another service has keeps the tasks waiting, in words, until it is free", async () => {
  const cluster = new Cluster();
  await cluster.change((tx) => {
    tx.put("network", makeNetwork());
    tx.put("service", makeService({ id: "a", name: "first", ports: [makePort()] }));
  });
  await cluster.change((tx) => {
    tx.put("service", makeService({ id: "b", name: "second", ports: [makePort()] }));
    tx.put("task", newTask("t1", "b"));
  });
  const waiting = cluster.store.view().get("task", "t1");
  assert.equal(waiting?.status.state, "new");
  assert.equal(
    waiting.status.err,
    "port '8080' is already in use by service 'first' (a) as an ingress port",
  );
  const snapshot = await cluster.change((tx) => tx.delete("service", "a"));
  assert.equal(snapshot.get("task", "t1")?.status.state, "pending");
  assert.equal(snapshot.get("task", "t1")?.status.err, undefined);
});

test("endpoints and attachments by what a service publishes", async () => {
  const host = makePort({ publishMode: "host" });
  const cluster = new Cluster();
  const snapshot = await cluster.change((tx) => {
    tx.put("network", makeNetwork({ id: "net" }));
    tx.put("service", makeService({ id: "none" }));
    tx.put("service", makeService({ id: "ingress", ports: [makePort()] }));
    tx.put("service", makeService({ id: "host", ports: [host] }));
    tx.put(
      "service",
      makeService({ id: "rr", spec: { endpointSpec: { mode: "dnsrr", ports: [host] } } }),
    );
    for (const id of ["none", "ingress", "host", "rr"]) tx.put("task", newTask(`t-${id}`, id));
  });
  const rows = [
    ["none", 0, 0],
    ["ingress", 1, 1],
    ["host", 0, 1],
    ["rr", 0, 1],
  ] as const;
  for (const [id, virtualIPs, attachments] of rows) {
    const service = snapshot.get("service", id);
    const task = snapshot.get("task", `t-${id}`);
    assert.equal(service?.endpoint?.virtualIPs.length, virtualIPs, id);
    assert.equal(task?.networksAttachments.length, attachments, id);
    assert.deepEqual(task.endpoint, service.endpoint);
    assert.equal(task.status.state, "pending");
    assert.equal(task.status.message, "pending task scheduling");
  }
  assert.match(
    snapshot.get("task", "t-host")?.networksAttachments[0]?.addresses[0] ?? "",
    /^10\.255\.0\.\d+\/16$/,
  );
});

test("without an ingress network what publishes waits, the rest goes on", async () => {
  const cluster = new Cluster();
  const write = (tx: Parameters<Parameters<Store["update"]>[0]>[0]) => {
    tx.put("service", makeService({ id: "a", ports: [makePort()] }));
    tx.put("service", makeService({ id: "b" }));
    tx.put("task", newTask("ta", "a"));
    tx.put("task", newTask("tb", "b"));
  };
  const before = await cluster.change(write);
  assert.equal(
    before.get("task", "ta")?.status.err,
    "service needs ingress network, but no ingress network is present",
  );
  assert.equal(before.get("task", "tb")?.status.state, "pending");
  const after = await cluster.change((tx) => tx.put("network", makeNetwork()));
  assert.equal(after.get("task", "ta")?.status.state, "pending");
});

test("nodes get the smallest free number and an address", async () => {
  const cluster = new Cluster();
  await cluster.change((tx) => {
    tx.put("network", makeNetwork());
    for (const id of ["n1", "n2", "n3"]) tx.put("node", makeNode({ id }));
  });
  const indexes = () =>
    cluster.store
      .view()
      .list("node")
      .map(({ index }) => index);
  assert.deepEqual(
    indexes().sort((a = 0, b = 0) => a - b),
    [1, 2, 3],
  );
  const gone = cluster.store
    .view()
    .list("node")
    .find(({ index }) => index === 2);
  await cluster.change((tx) => tx.delete("node", gone?.id ?? ""));
  await cluster.change((tx) => tx.put("node", makeNode({ id: "n4" })));
  assert.equal(cluster.store.view().get("node", "n4")?.index, 2);
  assert.notEqual(cluster.store.view().get("node", "n4")?.ingressAddress, gone?.ingressAddress);
});

test("exhausted addresses are said on the task and given when one is free again", async () => {
  const cluster = new Cluster();
  await cluster.change((tx) => {
    tx.put(
      "network",
      makeNetwork({
        ipam: { driver: "default", config: [{ subnet: "10.9.0.0/29", gateway: "10.9.0.1" }] },
      }),
    );
    tx.put("service", makeService({ id: "a", ports: [makePort({ publishMode: "host" })] }));
    for (let i = 1; i <= 6; i++) tx.put("task", { ...newTask(`t${i}`, "a"), slot: i });
  });
  const last = () => cluster.store.view().get("task", "t6");
  assert.equal(last()?.status.state, "new");
  assert.match(
    last()?.status.err ?? "",
    /^no address is free in network ingress \(10\.9\.0\.0\/29\)/,
  );
  assert.equal(cluster.plan?.tasks.length, 6);
  await cluster.change((tx) => tx.put("service", makeService({ id: "z" })));
  assert.equal(cluster.plan.tasks.length, 0, "the same reason is not written twice");
  await cluster.change((tx) =>
    tx.put("task", {
      ...newTask("t1", "a"),
      status: { timestamp: NOW, state: "failed", message: "" },
    }),
  );
  assert.equal(last()?.status.state, "pending");
});

test("no address, port or number is ever given twice, and none is given back at once", async () => {
  const step = fc.record({
    action: fc.constantFrom(
      "task",
      "end",
      "reap",
      "service",
      "lan",
      "move",
      "attach",
      "detach",
      "drop",
      "node",
      "leave",
    ),
    pick: fc.nat(1_000),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const cluster = new Cluster();
      await cluster.change((tx) => {
        tx.put(
          "network",
          makeNetwork({ ipam: { driver: "default", config: [{ subnet: "10.9.0.0/27" }] } }),
        );
        tx.put("network", makeOverlay({ id: "lan", subnet: "10.8.0.0/28" }));
        tx.put("network", makeOverlay({ id: "wide", ipam: TWO_FAMILIES }));
        tx.put("service", makeService({ id: "s0", ports: [unpublished()] }));
      });
      for (const [number, { action, pick }] of steps.entries()) {
        const snapshot = await cluster.change((tx) => {
          const services = tx.list("service");
          const some = <T>(list: readonly T[]): T | undefined => list[pick % (list.length || 1)];
          const task = some(tx.list("task"));
          if (action === "task") tx.put("task", newTask(`t${number}`, some(services)?.id ?? ""));
          if (action === "end" && task)
            tx.put("task", { ...task, status: { ...task.status, state: "failed" } });
          if (action === "reap" && task && isOver(task)) tx.delete("task", task.id);
          if (action === "service")
            tx.put(
              "service",
              makeService({ id: `s${number}`, ports: [unpublished({ targetPort: pick })] }),
            );
          if (action === "lan")
            tx.put("service", makeService({ id: `s${number}`, task: inNetworks("lan", "wide") }));
          if (action === "move") {
            const service = some(services);
            const networks = pick % 2 === 0 ? inNetworks("lan") : inNetworks("wide");
            const taskTemplate = { ...makeService().spec.taskTemplate, ...networks };
            if (service) tx.put("service", { ...service, spec: { ...service.spec, taskTemplate } });
          }
          if (action === "attach") {
            const wanted = pick % 2 === 0 ? {} : { wanted: `10.8.0.${pick % 16}` };
            tx.put("attachment", makeAttachment({ id: `a${number}`, ...wanted }));
          }
          if (action === "detach") {
            tx.delete("attachment", some(tx.list("attachment"))?.id ?? "");
          }
          if (action === "drop") tx.delete("service", some(services)?.id ?? "");
          if (action === "node") tx.put("node", makeNode({ id: `n${number}` }));
          if (action === "leave") tx.delete("node", some(tx.list("node"))?.id ?? "");
        });
        assertUnique(snapshot);
        assertComplete(snapshot);
      }
    }),
    { numRuns: 60 },
  );
});

const TWO_FAMILIES = {
  driver: "default",
  config: [{ subnet: "10.7.0.0/24", ipRange: "10.7.0.64/26" }, { subnet: "fd00:7::/64" }],
};

const inNetworks = (...targets: readonly string[]) => ({
  networks: targets.map((target) => ({ target })),
});

/** Whoever waits has a reason, and whoever does not has an address in each network of its own. */
function assertComplete(snapshot: Snapshot): void {
  for (const { addresses, err } of snapshot.list("attachment")) {
    assert.ok(addresses.length === 1 || err !== undefined);
  }
  for (const task of snapshot.list("task")) {
    if (task.status.state === "new" && snapshot.get("service", task.serviceID)) {
      assert.ok(task.status.err ?? isOver(task));
    }
    for (const { network, addresses } of task.networksAttachments) {
      const { config } = snapshot.get("network", network.id)?.ipam ?? TWO_FAMILIES;
      assert.equal(addresses.length, config.length);
    }
  }
}

test("a service has a virtual IP in each of its networks, and keeps those it keeps", async () => {
  const cluster = new Cluster();
  const put = (networks: readonly string[], mode: "vip" | "dnsrr" = "vip") =>
    cluster.change((tx) => {
      const spec = makeService({ task: inNetworks(...networks) }).spec;
      const service = tx.get("service", "s") ?? makeService({ id: "s" });
      tx.put("service", { ...service, spec: { ...spec, endpointSpec: { mode, ports: [] } } });
    });
  await cluster.change((tx) => {
    tx.put("network", makeNetwork());
    tx.put("network", makeOverlay({ id: "lan", name: "lan", subnet: "10.8.0.0/28" }));
    tx.put("network", makeOverlay({ id: "wide", ipam: TWO_FAMILIES }));
  });
  const ips = (snapshot: Snapshot) =>
    snapshot
      .get("service", "s")
      ?.endpoint?.virtualIPs.map(({ networkID, addr }) => `${networkID} ${addr}`);
  assert.deepEqual(ips(await put(["lan", "lan", "host"])), ["lan 10.8.0.2/28"]);
  assert.deepEqual(ips(await put(["wide", "lan"])), [
    "wide 10.7.0.64/24",
    "wide fd00:7::40/64",
    "lan 10.8.0.2/28",
  ]);
  assert.deepEqual(ips(await put(["lan"])), ["lan 10.8.0.2/28"]);
  assert.deepEqual(ips(await put(["lan"], "dnsrr")), []);
});

test("a task has an address in each of its own networks, the ingress network's first", async () => {
  const cluster = new Cluster();
  const snapshot = await cluster.change((tx) => {
    tx.put("network", makeNetwork({ id: "in" }));
    tx.put("network", makeOverlay({ id: "lan", name: "lan", subnet: "10.8.0.0/28" }));
    tx.put("network", makeOverlay({ id: "wide", name: "wide", ipam: TWO_FAMILIES }));
    tx.put(
      "service",
      makeService({ id: "s", ports: [makePort()], task: inNetworks("wide", "lan") }),
    );
    const spec = inNetworks("wide", "lan");
    tx.put("task", makeTask({ id: "t", serviceID: "s", state: "new", spec }));
  });
  assert.deepEqual(
    snapshot
      .get("task", "t")
      ?.networksAttachments.map(({ network, addresses }) => [network.name, ...addresses]),
    [
      ["ingress", "10.255.0.3/16"],
      ["wide", "10.7.0.65/24", "fd00:7::41/64"],
      ["lan", "10.8.0.3/28"],
    ],
  );
});

test("a network without a free address is named on the service's task", async () => {
  const cluster = new Cluster();
  const snapshot = await cluster.change((tx) => {
    tx.put("network", makeOverlay({ id: "lan", name: "lan", subnet: "10.8.0.0/30" }));
    tx.put("service", makeService({ id: "s", task: inNetworks("lan") }));
    tx.put("service", makeService({ id: "u", name: "other", task: inNetworks("lan") }));
    tx.put("task", makeTask({ id: "t", serviceID: "s", state: "new", spec: inNetworks("lan") }));
    tx.put("task", makeTask({ id: "v", serviceID: "u", state: "new", spec: inNetworks("lan") }));
  });
  assert.match(snapshot.get("task", "t")?.status.err ?? "", /^no address is free in network lan/);
  assert.match(
    snapshot.get("task", "v")?.status.err ?? "",
    /^could not find an available IP while allocating VIP in network lan$/,
  );
});

function assertUnique(snapshot: Snapshot): void {
  const addresses = [
    ...snapshot.list("node").map((node) => node.ingressAddress),
    ...snapshot
      .list("service")
      .flatMap((service) => service.endpoint?.virtualIPs ?? [])
      .map(({ addr }) => addr),
    ...snapshot
      .list("task")
      .filter((task) => !isOver(task))
      .flatMap((task) => task.networksAttachments)
      .flatMap((attachment) => attachment.addresses),
    ...snapshot.list("attachment").flatMap(({ addresses }) => addresses),
  ]
    .filter((address) => address !== undefined)
    .map((address) => address.split("/")[0]);
  const ports = snapshot
    .list("service")
    .flatMap((service) => service.endpoint?.ports ?? [])
    .map(({ protocol, publishedPort }) => `${protocol}/${publishedPort}`);
  const indexes = snapshot.list("node").map(({ index }) => index);
  for (const list of [addresses, ports, indexes.map(String)]) {
    assert.equal(new Set(list).size, list.length, `twice in ${list.join(" ")}`);
  }
  assert.ok(
    !addresses.includes("10.9.0.0") &&
      !addresses.includes("10.9.0.1") &&
      !addresses.includes("10.9.0.31"),
  );
}
