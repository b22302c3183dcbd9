import assert from "node:assert/strict";
import { test } from "node:test";
import { parseRouteTable, parseRouteTable6 } from "./host-routes.ts";

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

test("networks of IPv6 are read likewise, without what is of a link, of the host itself or of everybody", () => {
  const line = (destination: string, length: string, flags: string, device: string) => {
    const none = "00000000000000000000000000000000 00";
    const counters = "00000000000000000000000000000000 00000100 00000001 00000000";
    return `${destination.padEnd(32, "0")} ${length} ${none} ${counters} ${flags} ${device.padStart(8)}\n`;
  };
  const table = [
    line("20010db800990000", "40", "00000001", "eth0"),
    line("20010db800990000", "40", "00000003", "eth0"),
    line("fd77", "10", "00000001", "br-1f"),
    line("20010db8009900000000000000000064", "80", "80200001", "eth0"),
    line("fe80", "40", "00000001", "eth0"),
    line("ff00", "08", "00000001", "eth0"),
    line("fd00", "08", "00000001", "wg0"),
    line("2000", "03", "00000001", "wg0"),
    line("", "00", "00000003", "eth0"),
    line("fd5a9c3e71b20000", "40", "00000001", "weft0"),
    line("20010db800ff0000", "30", "00000001", "lo"),
  ];
  assert.deepEqual(parseRouteTable6(table.join("")), ["2001:db8:99::/64", "fd77::/16"]);
  assert.deepEqual(parseRouteTable6(""), []);
});
