import assert from "node:assert/strict";
import { test } from "node:test";
import { smallestMTU, uplinks } from "./uplink.ts";

const HEAD =
  "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT\n";
const route = (link: string, destination: string, mask: string) =>
  `${link}\t${destination}\t00000000\t0001\t0\t0\t0\t${mask}\t0\t0\t0\n`;

test("the uplink is where the default route leads", () => {
  const table =
    HEAD + route("eth1", "0063A8C0", "00FFFFFF") + route("eth0", "00000000", "00000000");
  assert.deepEqual(uplinks(table), ["eth0"]);
});

test("without a default route every link that leads out counts, those to containers do not", () => {
  const table =
    HEAD +
    route("eth1", "0063A8C0", "00FFFFFF") +
    route("docker0", "000011AC", "0000FFFF") +
    route("wv0123456789ab", "0500FF0A", "FFFFFFFF");
  assert.deepEqual(uplinks(table), ["eth1"]);
  assert.deepEqual(uplinks(HEAD), []);
});

test("the smallest of several uplinks counts; an unknown one is taken as Ethernet", () => {
  const output = JSON.stringify([
    { ifname: "eth0", mtu: 9000 },
    { ifname: "eth1", mtu: 1400 },
    { ifname: "lo", mtu: 65_536 },
  ]);
  assert.equal(smallestMTU(output, ["eth0", "eth1"]), 1400);
  assert.equal(smallestMTU(output, ["eth9"]), 1500);
});
