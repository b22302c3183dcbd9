import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../../base/clock.ts";
import { IPv6Addresses, parseAddresses } from "./ipv6-addresses.ts";

const LOOPBACK = "00000000000000000000000000000001 01 80 10 80       lo\n";
const GLOBAL = "fd770000000000000000000000000002 03 40 00 82     eth0\n";
const TENTATIVE = "fd770000000000000000000000000003 03 40 00 40     eth0\n";
const DUPLICATE = "fd770000000000000000000000000004 03 40 00 88     eth0\n";
const LINK_LOCAL = "fe8000000000000090fc84fffe32a096 03 40 20 80     eth0\n";
const TASK_LINK = "fe80000000000000d8069ffffe696f5d 1c 40 20 80 wv11f19695f7b7\n";

test("addresses are those at which the host can be asked", () => {
  const table = LOOPBACK + GLOBAL + TENTATIVE + DUPLICATE + LINK_LOCAL + TASK_LINK;
  const expected = ["::1", "fd77::2", "fe80::90fc:84ff:fe32:a096%eth0"];
  assert.deepEqual(parseAddresses(table), expected);
  assert.deepEqual(parseAddresses(""), []);
});

test("a change is told within a second to all who asked; nobody asks, nothing is read", () => {
  const clock = new FakeClock();
  let table = LOOPBACK;
  const addresses = new IPv6Addresses(clock, () => table);
  const told: string[] = [];
  const ends = ["a", "b"].map((name) => addresses.subscribe(() => void told.push(name)));
  clock.advance(5_000);
  assert.deepEqual(told, []);
  table += GLOBAL;
  clock.advance(1_000);
  assert.deepEqual(told, ["a", "b"]);
  assert.deepEqual(clock.pending(), ["keeper.addresses.scan"]);
  for (const end of ends) end();
  assert.deepEqual(clock.pending(), []);
});
