import assert from "node:assert/strict";
import { test } from "node:test";
import { describeHost } from "./loopback-cluster.ts";
import { decodeDescription, encodeDescription } from "./wire-objects.ts";

test("of a host's addresses only addresses come through: they become part of every node's rules", () => {
  const addresses = [
    "192.168.99.7",
    "10.0.0.1 } ; flush ruleset #",
    "fd00::7",
    "10.0.0.1\n",
    "fe80::1%eth0",
    "",
  ];
  const bytes = encodeDescription({ ...describeHost("n1"), addresses });
  assert.deepEqual(decodeDescription(bytes).addresses, ["192.168.99.7", "fd00::7"]);
});
