import assert from "node:assert/strict";
import { it } from "node:test";
import * as fc from "fast-check";
import { desired } from "./desired.ts";
import { narrow } from "./narrow.ts";
import { isWithin } from "./nft/interpret.ts";
import { plan } from "./plan.ts";
import { addressesAt, atAddresses, publishedInterfaces } from "./publish-places.ts";
import { anyView, makeFacts, makeService, makeView } from "./testing.ts";

const interfaces = new Map([
  ["eth1", ["10.7.0.1", "192.168.9.1", "fd07::1", "fe80::1"]],
  ["eth2", []],
]);

it("an interface is the addresses that it has, but for those in a network that is named beside it", () => {
  assert.deepEqual(addressesAt(["eth1"], interfaces), interfaces.get("eth1"));
  assert.deepEqual(addressesAt(["10.0.0.0/8", "fd07::/64", "eth1"], interfaces), [
    ...["10.0.0.0/8", "fd07::/64", "192.168.9.1", "fe80::1"],
  ]);
  for (const none of ["eth2", "eth7"]) assert.deepEqual(addressesAt([none], interfaces), []);
});

it("a view without a name in it stays the very same", () => {
  const view = makeView({ services: [makeService(8080)] });
  assert.equal(atAddresses(view, interfaces), view);
  assert.deepEqual(publishedInterfaces(view), new Set());
});

it("a port at an interface that the host has not is answered nowhere, and not everywhere", () => {
  const port = { protocol: "tcp", publishedPort: 8080, targetPort: 80, boundTo: ["eth7"] } as const;
  const view = makeView({ services: [makeService(8080, { ports: [port] })] });
  const sets = desired(view, makeFacts(view)).ruleset.get("inet weft")?.sets;
  assert.deepEqual([...(sets?.get("bound")?.elements.keys() ?? [])], ["tcp . 8080"]);
  assert.equal(sets?.get("bound_to")?.elements.size, 0);
  assert.equal(sets?.get("bound_to6")?.elements.size, 0);
});

it("no place of a port is within another: the kernel's set would take neither", () => {
  fc.assert(
    fc.property(anyView, (view) => {
      for (const { ports } of atAddresses(view, makeFacts(view).interfaces).services) {
        for (const { boundTo = [] } of ports) {
          const nested = boundTo.filter((one) =>
            boundTo.some((other) => other !== one && isWithin(one.split("/")[0] ?? "", other)),
          );
          assert.deepEqual(nested, []);
        }
      }
    }),
  );
});

it("addresses that come and go are followed by a plan of elements alone, the same as from the whole views", () => {
  const port = { protocol: "tcp", publishedPort: 8080, targetPort: 80, boundTo: ["eth1"] } as const;
  const view = makeView({ services: [makeService(8080, { ports: [port] }), makeService(9090)] });
  const facts = makeFacts(view);
  const moved = { ...facts, interfaces: new Map([["eth1", ["10.7.0.2", "fd07::1"]]]) };
  const { before, after } = narrow({ view, facts }, { view, facts: moved });
  const narrowed = plan(desired(before, facts), desired(after, moved));
  assert.deepEqual(narrowed, plan(desired(view, facts), desired(view, moved)));
  assert.deepEqual(narrowed.additions, []);
  assert.deepEqual(
    narrowed.transaction.map(({ kind }) => kind),
    ["elements.delete", "elements.add"],
  );
});
