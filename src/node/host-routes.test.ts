import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRouteTable } from "./host-routes.ts";

const TABLE = `Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0163A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
docker0\t000011AC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
eth0\t0063A8C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
wv0123456789ab\t0500FF0A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0
`;

test("networks are read off the kernel's table, without the default route and Weft's own", () => {
  assert.deepEqual(parseRouteTable(TABLE), ["172.17.0.0/16", "192.168.99.0/24"]);
});

test("the two halves of all addresses are a VPN's default route and take nothing", () => {
  const half = (destination: string) => `tun0\t${destination}\t0\t1\t0\t0\t0\t00000080\t0\t0\t0\n`;
  assert.deepEqual(parseRouteTable(`Iface\n${half("00000000")}${half("00000080")}`), []);
});

test("a host without routes has none", () => {
  assert.deepEqual(parseRouteTable("Iface\tDestination\n"), []);
});
