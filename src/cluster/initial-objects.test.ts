import assert from "node:assert/strict";
import { test } from "node:test";
import type { ClusterID, NetworkID } from "../base/ids.ts";
import { DEFAULT_CLUSTER_SPEC, initialObjects, uniqueLocalSubnet } from "./initial-objects.ts";

function subnetFor(pool: readonly string[], hostRoutes: readonly string[]): string | undefined {
  const { network } = initialObjects({
    clusterID: "c" as ClusterID,
    networkID: "n" as NetworkID,
    spec: DEFAULT_CLUSTER_SPEC,
    rootCACertificate: "",
    joinTokens: { worker: "", manager: "" },
    defaultAddrPool: pool,
    subnetSize: 0,
    dataPathPort: 0,
    hostRoutes,
    ingressSubnet6: uniqueLocalSubnet(),
  });
  assert.match(network.ipam.config[1]?.subnet ?? "", /^fd[0-9a-f:]+::\/64$/);
  assert.equal(network.vni, 4096);
  return network.ipam.config[0]?.subnet;
}

const rows: readonly (readonly [string, readonly string[], readonly string[], string])[] = [
  ["nothing in the way", [], ["0.0.0.0/0", "192.168.99.0/24"], "10.255.0.0/16"],
  ["a route inside the default", [], ["10.255.3.0/24"], "10.254.0.0/16"],
  ["a route over the default pool", [], ["10.0.0.0/8"], "172.31.0.0/16"],
  ["a pool of the user's", ["172.20.0.0/14"], [], "172.23.0.0/16"],
  ["half of a pool that is small", ["192.168.32.0/20"], [], "192.168.40.0/21"],
  ["half of the default's own", ["10.255.0.0/16"], [], "10.255.128.0/17"],
  ["the other half", ["10.20.0.0/16"], ["10.20.200.0/24"], "10.20.0.0/17"],
  [
    "a second pool when the first is taken",
    ["172.20.0.0/16", "10.0.0.0/8"],
    ["172.20.0.0/15"],
    "10.255.0.0/16",
  ],
];
for (const [name, pool, routes, expected] of rows) {
  test(`ingress subnet: ${name}`, () => assert.equal(subnetFor(pool, routes), expected));
}

test("no free subnet is refused with both named", () => {
  assert.throws(() => subnetFor(["172.20.0.0/16"], ["172.20.0.0/14"]), {
    name: "InvalidParameterError",
    message: /172\.20\.0\.0\/16 overlaps with this host's route 172\.20\.0\.0\/14/,
  });
});

test("the mesh's IPv6 prefix is clear of the host's routes, or refused with both named", () => {
  assert.match(uniqueLocalSubnet(["10.0.0.0/8", "fd00::/9"]), /^fd[89a-f]/);
  assert.throws(() => uniqueLocalSubnet(["fd00::/9", "fd80::/9"]), {
    name: "InvalidParameterError",
    message: /fd00::\/8 overlaps with this host's routes fd00::\/9, fd80::\/9:/,
  });
});
