import assert from "node:assert/strict";
import type { NetworkInterfaceInfo } from "node:os";
import { test } from "node:test";
import {
  type Interfaces,
  listenAddrFor,
  ownManagerAddr,
  resolveAdvertiseAddr,
  resolveDataPathAddr,
  resolveListenAddr,
  withDefaultPort,
} from "./addresses.ts";

function ipv4(address: string, internal = false): NetworkInterfaceInfo {
  return {
    address,
    netmask: "255.255.255.0",
    family: "IPv4",
    mac: "00:00:00:00:00:00",
    internal,
    cidr: `${address}/24`,
  };
}

function ipv6(address: string): NetworkInterfaceInfo {
  const scopeid = address.startsWith("fe80:") ? 2 : 0;
  return { ...ipv4(""), address, netmask: "ffff:ffff:ffff:ffff::", family: "IPv6", scopeid };
}

const lo = [ipv4("127.0.0.1", true)];
const one: Interfaces = { lo, eth0: [ipv4("192.168.99.100")], docker0: [ipv4("172.17.0.1")] };
const two: Interfaces = { lo, eth0: [ipv4("10.0.2.15")], eth1: [ipv4("192.168.99.100")] };

const link = ipv6("fe80::1");
const six: Interfaces = { lo, eth0: [link, ipv6("fd00::100")], docker0: [ipv4("172.17.0.1")] };
const both: Interfaces = { lo, eth0: [ipv6("2001:db8::1"), ipv6("2001:db8::2"), ipv4("10.0.0.1")] };

const chosen: [string, string, string, Interfaces, string][] = [
  [
    "an address with the default port",
    "192.168.99.100",
    "0.0.0.0:2377",
    two,
    "192.168.99.100:2377",
  ],
  [
    "an address with its own port",
    "192.168.99.100:4000",
    "0.0.0.0:2377",
    two,
    "192.168.99.100:4000",
  ],
  ["an interface", "eth1", "0.0.0.0:2377", two, "192.168.99.100:2377"],
  ["an address behind NAT, on no interface", "203.0.113.7", "", one, "203.0.113.7:2377"],
  ["the listen address when it is one", "", "192.168.99.100:2378", two, "192.168.99.100:2378"],
  [
    "an IPv6 address, as the kernel writes it",
    "FD00:1:0::1",
    "0.0.0.0:2377",
    two,
    "[fd00:1::1]:2377",
  ],
  ["an IPv6 address with its own port", "[fd00::1]:4000", "", two, "[fd00::1]:4000"],
  ["an interface's IPv6 address where it has no other", "eth0:4000", "", six, "[fd00::100]:4000"],
  ["an interface's IPv4 address rather than others", "eth0", "", both, "10.0.0.1:2377"],
  ["the listen address of an interface of IPv6", "", "eth0:2378", six, "[fd00::100]:2378"],
  [
    "the only IPv6 address where there is no IPv4",
    "",
    "0.0.0.0:2377",
    { lo, eth0: six["eth0"] },
    "[fd00::100]:2377",
  ],
  ["the only IPv4 address, whatever there is of IPv6", "", "0.0.0.0:2377", both, "10.0.0.1:2377"],
  ["the only address; bridges do not count", "", "0.0.0.0:2377", one, "192.168.99.100:2377"],
];
for (const [name, advertise, listen, interfaces, expected] of chosen)
  test(`advertises ${name}`, () => {
    assert.equal(resolveAdvertiseAddr(advertise, listen, interfaces), expected);
  });

const refused: [string, string, Interfaces, RegExp][] = [
  [
    "several candidates",
    "",
    two,
    /multiple addresses on different interfaces \(10\.0\.2\.15 on eth0 and 192/,
  ],
  ["no candidate", "", { lo }, /could not find the system's IP address/],
  ["an unknown interface", "eth7", one, /non-zero IP address or network interface/],
  ["0.0.0.0", "0.0.0.0", one, /non-zero IP address/],
  ["::", "::", one, /non-zero IP address/],
  ["an address of a link alone", "fe80::1", one, /non-zero IP address/],
  ["brackets around none", "[eth0]:2377", one, /invalid address/],
  [
    "an interface with two",
    "eth0",
    { eth0: [ipv4("10.0.0.1"), ipv4("10.0.0.2")] },
    /more than one IPv4/,
  ],
  [
    "an interface with two of IPv6 alone",
    "eth0",
    { eth0: [ipv6("fd00::1"), ipv6("fd00::2"), link] },
    /^interface eth0 has more than one IPv6 address \(fd00::1 and fd00::2\)$/,
  ],
  [
    "an interface with an address of its link alone",
    "eth0",
    { eth0: [link] },
    /^interface eth0 has no usable IPv4 or IPv6 address$/,
  ],
  [
    "several candidates of IPv6",
    "",
    { eth0: [ipv6("fd00::1")], eth1: [ipv6("fd01::1")] },
    /different interfaces \(fd00::1 on eth0 and fd01::1 on eth1\)/,
  ],
  ["a port that is none", "192.168.99.100:99999", one, /invalid address/],
];
for (const [name, advertise, interfaces, expected] of refused)
  test(`refuses ${name}`, () => {
    assert.throws(() => resolveAdvertiseAddr(advertise, "0.0.0.0:2377", interfaces), {
      message: expected,
    });
  });

test("a listen address is an address, an interface's, or every one; the manager's own agent dials it", () => {
  const cases: [string, string, string][] = [
    ["", "0.0.0.0:2377", "127.0.0.1:2377"],
    ["0.0.0.0:4000", "0.0.0.0:4000", "127.0.0.1:4000"],
    [":4000", "0.0.0.0:4000", "127.0.0.1:4000"],
    ["192.168.99.100:2377", "192.168.99.100:2377", "192.168.99.100:2377"],
    ["eth1:4000", "192.168.99.100:4000", "192.168.99.100:4000"],
    ["[::]:4000", "[::]:4000", "[::1]:4000"],
    ["[fd00::1]:4000", "[fd00::1]:4000", "[fd00::1]:4000"],
  ];
  assert.equal(resolveListenAddr("eth0:4000", six), "[fd00::100]:4000");
  for (const [asked, listens, dialled] of cases) {
    assert.equal(resolveListenAddr(asked, two), listens, asked);
    assert.equal(ownManagerAddr(listens), dialled, asked);
  }
  assert.throws(() => resolveListenAddr("eth7:2377", two), {
    message:
      "listen address must be an IP address or network interface (with optional port number)",
  });
});

test("a data path address is one of this host's, or an interface's", () => {
  const both = { ...two, eth2: [ipv6("fe80::2"), ipv6("fd00::2")] };
  const named: [string, string | undefined][] = [
    ["", undefined],
    ["192.168.99.100", "192.168.99.100"],
    ["eth0", "10.0.2.15"],
    ["fd00:0::2", "fd00::2"],
    ["eth2", "fd00::2"],
  ];
  for (const [asked, address] of named) assert.equal(resolveDataPathAddr(asked, both), address);
  for (const bad of ["0.0.0.0", "::", "fe80::1", "nope0", "constructor", "192.168.99.100:4789"])
    assert.throws(() => resolveDataPathAddr(bad, both), {
      code: "invalid_parameter",
      message:
        "data path address must be a non-zero IP address or network interface (without a port number)",
    });
  assert.throws(() => resolveDataPathAddr("192.168.99.101", both), {
    code: "invalid_parameter",
    message: /192\.168\.99\.101 is none of this host's/,
  });
});

test("a manager that is reached by IPv6 listens there, unless it was told where", () => {
  assert.equal(listenAddrFor("[fd00::1]:2377", "0.0.0.0:2377"), "[::]:2377");
  assert.equal(listenAddrFor("[fd00::1]:2377", "192.168.99.100:2377"), "192.168.99.100:2377");
  assert.equal(listenAddrFor("192.168.99.100:2377", "0.0.0.0:2377"), "0.0.0.0:2377");
});

test("managers to join are completed as Docker does", () => {
  for (const [given, completed] of [
    ["192.168.99.100", "192.168.99.100:2377"],
    ["192.168.99.100:2400", "192.168.99.100:2400"],
    ["manager1", "manager1:2377"],
    ["fd00::1", "[fd00::1]:2377"],
    ["[fd00::1]", "[fd00::1]:2377"],
    ["[fd00::1]:2400", "[fd00::1]:2400"],
  ] as const)
    assert.equal(withDefaultPort(given), completed);
});
