import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { overlaps, parseCidr } from "./cidr.ts";
import { makeCluster, makeNetwork, makeOverlay } from "./factories.ts";
import { claimVNI, freeVNI, type SubnetsRequest, subnetsOf } from "./network-numbers.ts";
import type { Network } from "./objects.ts";
import { createMemoryStore } from "./open-store.ts";
import type { Store } from "./store.ts";

async function storeWith(
  networks: readonly Network[],
  cluster: Parameters<typeof makeCluster>[0] = {},
): Promise<Store> {
  const store = createMemoryStore();
  await store.update((tx) => {
    tx.put("cluster", makeCluster(cluster));
    for (const network of networks) tx.put("network", network);
  });
  return store;
}

const ask = (init: Partial<SubnetsRequest> = {}): SubnetsRequest => ({
  ...{ config: [], ipv6Enabled: false, hostRoutes: [] },
  ...init,
});

test("subnets from the pools are clear of networks and of the host's routes", async () => {
  const store = await storeWith([makeNetwork(), makeOverlay({ subnet: "10.0.2.0/24" })]);
  const given = subnetsOf(store.view(), ask({ hostRoutes: ["10.0.0.0/23"] }));
  assert.deepEqual(given, [{ subnet: "10.0.3.0/24", gateway: "10.0.3.1" }]);
  const wide = subnetsOf(store.view(), ask({ hostRoutes: ["10.0.0.0/12"] }));
  assert.equal(wide[0]?.subnet, "10.16.0.0/24");
});

test("the cluster's own pools and mask length are used, one after the other, to the last", async () => {
  const pools = { defaultAddrPool: ["10.20.0.0/24", "10.30.0.0/26"], subnetSize: 26 };
  const store = await storeWith([], pools);
  const given: string[] = [];
  for (let at = 0; at < 5; at++) {
    await store.update((tx) => {
      const [config] = subnetsOf(tx, ask());
      assert.ok(config);
      given.push(config.subnet);
      tx.put("network", makeOverlay({ subnet: config.subnet, vni: freeVNI(tx) }));
    });
  }
  assert.deepEqual(given, [
    "10.20.0.64/26",
    "10.20.0.128/26",
    "10.20.0.192/26",
    "10.20.0.0/26",
    "10.30.0.0/26",
  ]);
  assert.throws(
    () => subnetsOf(store.view(), ask()),
    /could not find an available, non-overlapping/,
  );
});

test("what a user names is taken as it is, also where it overlaps", async () => {
  const store = await storeWith([makeOverlay({ subnet: "10.0.2.0/24" })]);
  const config = [{ subnet: "10.0.2.7/24", ipRange: "10.0.2.128/25", gateway: "10.0.2.9" }];
  assert.deepEqual(subnetsOf(store.view(), ask({ config })), [
    { subnet: "10.0.2.0/24", ipRange: "10.0.2.128/25", gateway: "10.0.2.9" },
  ]);
  const bad: readonly SubnetsRequest["config"][number][] = [
    { subnet: "10.0.2.0/33" },
    { subnet: "10.0.2.0/30" },
    { subnet: "10.0.2.0/24", gateway: "10.0.3.1" },
    { subnet: "10.0.2.0/24", ipRange: "10.0.3.0/25" },
  ];
  for (const each of bad) assert.throws(() => subnetsOf(store.view(), ask({ config: [each] })));
  const twice = [{ subnet: "10.0.2.0/24" }, { subnet: "10.0.0.0/16" }];
  assert.throws(() => subnetsOf(store.view(), ask({ config: twice })), /overlapping/);
});

test("IPv6 stands beside IPv4, named or not", async () => {
  const store = await storeWith([]);
  const config = [{ subnet: "fd00:1::/64" }];
  assert.deepEqual(subnetsOf(store.view(), ask({ config, ipv6Enabled: true })), [
    { subnet: "10.0.1.0/24", gateway: "10.0.1.1" },
    { subnet: "fd00:1::/64", gateway: "fd00:1::1" },
  ]);
  assert.equal(
    subnetsOf(store.view(), ask({ ipv6Enabled: true }))[1]?.subnet,
    "fd77:6566:7400:1::/64",
  );
  const hostRoutes = ["172.17.0.0/16", "fd77:6566:7400::/62", "fd77:6566:7400:4::/64"];
  assert.equal(
    subnetsOf(store.view(), ask({ ipv6Enabled: true, hostRoutes }))[1]?.subnet,
    "fd77:6566:7400:5::/64",
  );
  const small = [{ subnet: "fd00:1::/121" }];
  assert.throws(() => subnetsOf(store.view(), ask({ config: small, ipv6Enabled: true })), /fewer/);
});

test("a VXLAN number belongs to one network", async () => {
  const store = await storeWith([makeNetwork(), makeOverlay({ name: "lan", vni: 5000 })]);
  assert.equal(freeVNI(store.view()), 5001);
  assert.equal(freeVNI((await storeWith([])).view()), 4097);
  assert.equal(freeVNI((await storeWith([])).view(), 4099), 4100, "not that of one just removed");
  assert.equal(freeVNI((await storeWith([])).view(), 16_777_215), 4097);
  assert.equal(claimVNI(store.view(), "4999"), 4999);
  assert.throws(() => claimVNI(store.view(), "5000"), /in use by network lan/);
  for (const text of ["4096", "16777216", "x", "5001,5002"]) {
    assert.throws(() => claimVNI(store.view(), text), /invalid vxlan id/, text);
  }
});

test("however networks come and go, no two that were given have a number or an address in common", async () => {
  const steps = fc.array(fc.record({ make: fc.boolean(), pick: fc.nat(100) }), { maxLength: 40 });
  await fc.assert(
    fc.asyncProperty(steps, async (run) => {
      const pools = { defaultAddrPool: ["10.20.0.0/24"], subnetSize: 28 };
      const store = await storeWith([makeNetwork()], pools);
      const routes = ["10.20.0.32/27"];
      for (const { make, pick } of run) {
        await store.update((tx) => {
          const networks = tx.list("network");
          if (!make) tx.delete("network", networks[pick % networks.length]?.id ?? "");
          else if (networks.length < 14) {
            const [config] = subnetsOf(tx, ask({ hostRoutes: routes }));
            tx.put("network", makeOverlay({ subnet: config?.subnet ?? "", vni: freeVNI(tx) }));
          }
        });
        const networks = store.view().list("network");
        assert.equal(new Set(networks.map(({ vni }) => vni)).size, networks.length);
        const subnets = networks.map(({ ipam }) => parseCidr(ipam.config[0]?.subnet ?? ""));
        for (const [at, a] of subnets.entries()) {
          assert.ok(!overlaps(a, parseCidr("10.20.0.32/27")));
          assert.ok(!subnets.slice(at + 1).some((b) => overlaps(a, b)));
        }
      }
    }),
    { numRuns: 40 },
  );
});
