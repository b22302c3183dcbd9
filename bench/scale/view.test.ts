import assert from "node:assert/strict";
import { test } from "node:test";
import { localAddresses, scaleView, withDraining } from "./view.ts";

const view = scaleView({ services: 1_000, underlayAddress: "192.168.99.100" });

test("no two endpoints share an address, and none is a node's", () => {
  const endpoints = view.services.flatMap((service) => service.endpoints);
  const nodes = [view.self, ...view.peers].map((node) => node.overlayAddress);
  const addresses = new Set([...endpoints.map(({ address }) => address), ...nodes]);
  assert.equal(addresses.size, 10_000 + 3);
});

test("the last service alone is local, on links that are told", () => {
  const local = view.services.filter(({ endpoints }) =>
    endpoints.some(({ nodeIndex }) => nodeIndex === view.self.index),
  );
  assert.deepEqual(local, [view.services.at(-1)]);
  assert.deepEqual(
    view.localLinks.map(({ address }) => address),
    localAddresses({ services: 1_000 }),
  );
});

test("draining touches one service and leaves the others the same objects", () => {
  const drained = withDraining(view, 7, 2);
  const touched = drained.services.filter((service, index) => service !== view.services[index]);
  assert.equal(touched.length, 1);
  const states = touched[0]?.endpoints.map(({ state }) => state);
  assert.deepEqual(
    states?.filter((state) => state === "draining"),
    ["draining"],
  );
});
