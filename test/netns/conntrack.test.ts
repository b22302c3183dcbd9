/** Forgetting connections by the kernel's own interface, compared with what the conntrack tool then lists. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";
import type { Forget } from "../../src/datapath/conntrack/forget.ts";
import { whyNot } from "./datapath/lab.ts";

const CONNTRACK = new URL("../../src/datapath/conntrack/netlink.ts", import.meta.url).pathname;
const SOURCE = new URL("../../src/datapath/conntrack/flow-source.ts", import.meta.url).pathname;

/** In a namespace of its own: makes flows, forgets one list after the other, and prints what is left after each. */
const PROGRAM = `
import { execFileSync } from "node:child_process";
import { openConntrackSocket } from ${JSON.stringify(CONNTRACK)};
const run = (tool, ...args) => execFileSync(tool, args, { encoding: "utf8", stdio: "pipe" });
const add = (protocol, from, port, to, status, more = []) =>
  run("conntrack", "-I", "-p", protocol, "-s", from, "-d", "192.0.2.1", "-q", from,
    ...(to === "192.0.2.1" ? ["-r", to] : ["-g", to]),
    "--sport", "1000", "--dport", String(port), "--reply-port-src", String(port), "--reply-port-dst", "1000",
    "-t", "100", "-u", status, ...more);
add("udp", "198.51.100.1", 53, "10.255.0.9", "SEEN_REPLY");
add("udp", "198.51.100.2", 53, "10.255.0.8", "SEEN_REPLY");
add("tcp", "198.51.100.3", 80, "10.255.0.9", "UNSET", ["--state", "SYN_SENT"]);
add("tcp", "198.51.100.4", 80, "10.255.0.9", "SEEN_REPLY", ["--state", "ESTABLISHED"]);
add("tcp", "198.51.100.5", 80, "10.255.0.8", "UNSET", ["--state", "SYN_SENT"]);
add("udp", "198.51.100.6", 53, "192.0.2.1", "UNSET");
add("udp", "198.51.100.7", 54, "192.0.2.1", "UNSET");
const add6 = (protocol, from, to, status, more = []) =>
  run("conntrack", "-I", "-p", protocol, "-s", from, "-d", "2001:db8::1", "-q", from,
    ...(to === "2001:db8::1" ? ["-r", to] : ["-g", to]),
    "--sport", "1000", "--dport", "53", "--reply-port-src", "53", "--reply-port-dst", "1000",
    "-t", "100", "-u", status, ...more);
add6("udp", "2001:db8:51::8", "fd12::aff:9", "SEEN_REPLY");
add6("tcp", "2001:db8:51::9", "fd12::aff:9", "UNSET", ["--state", "SYN_SENT"]);
add6("udp", "2001:db8:51::a", "2001:db8::1", "UNSET");
add6("udp", "2001:db8:51::b", "fd12::aff:8", "SEEN_REPLY");
const left = () => [...run("conntrack", "-L").matchAll(/src=(?:198\\.51\\.100\\.|2001:db8:51::)(\\w)/g)].map((m) => m[1]).sort().join("");
const [flowsAWalk, lists, listed] = process.argv.slice(1);
const conntrack = await openConntrackSocket(undefined, Number(flowsAWalk));
if (listed !== undefined) {
  const clients = (flows) => flows.map(({ client }) => client.address.at(-1)).sort().join("");
  const flows = await Promise.all(JSON.parse(listed).map((addresses) => conntrack.flows(addresses, 9)));
  console.log(JSON.stringify(flows.map(clients)));
  await conntrack.close();
  process.exit(0);
}
const told = [left()];
for (const forget of JSON.parse(lists)) {
  await conntrack.forget(forget);
  told.push(left());
}
await conntrack.close();
console.log(JSON.stringify(told));
`;

/** One list, and what is found deleted by name; or the kernel does it all, a walk for each address. */
const WAYS = [4_000, 0];

function leftAfter(lists: readonly (readonly Forget[])[]): unknown {
  return toldBy(JSON.stringify(lists));
}

/** The same either way. */
function toldBy(...args: readonly string[]): unknown {
  const [told, ...others] = WAYS.map((flowsAWalk): unknown => {
    const program = ["-n", process.execPath, "--input-type=module", "-e", PROGRAM];
    const argv = [...program, String(flowsAWalk), ...args];
    return JSON.parse(execFileSync("unshare", argv, { encoding: "utf8" }));
  });
  for (const other of others) assert.deepEqual(other, told);
  return told;
}

describe("conntrack in process", { skip: whyNot() }, () => {
  it("forgets what it is told and nothing else", () => {
    const left = leftAfter([
      [{ kind: "udp-to", address: "10.255.0.9" }],
      [{ kind: "half-open-to", address: "10.255.0.9" }],
      [{ kind: "unled-udp", port: 53, family: 4 }],
      [{ kind: "all-to", address: "10.255.0.9" }],
      [{ kind: "all-to", address: "10.255.0.77" }],
      [{ kind: "udp-to", address: "fd12::aff:9" }],
      [{ kind: "half-open-to", address: "fd12::aff:9" }],
      [{ kind: "unled-udp", port: 53, family: 6 }],
      [{ kind: "all-to", address: "fd12::aff:8" }],
    ]);
    // By the last figure of the client's address. A flow with NAT is not "unled": 198.51.100.2 stays.
    assert.deepEqual(left, [
      ...["123456789ab", "23456789ab", "2456789ab", "245789ab", "25789ab", "25789ab"],
      ...["2579ab", "257ab", "257b", "257"],
    ]);
  });

  it("forgets many things at once, more than go to the kernel in one call", () => {
    const nobody = Array.from({ length: 35 }, (_, n) => `10.255.1.${n}`);
    const addresses = ["10.255.0.9", ...nobody, "10.255.0.8"];
    const left = leftAfter([addresses.map((address) => ({ kind: "all-to", address }))]);
    assert.deepEqual(left, ["123456789ab", "6789ab"]);
  });

  it("forgets by IPv6 addresses of several kinds at once, and nothing of the others", () => {
    const left = leftAfter([
      [
        { kind: "udp-to", address: "fd12::aff:8" },
        { kind: "half-open-to", address: "fd12::aff:8" },
        { kind: "half-open-to", address: "fd12::aff:9" },
        { kind: "half-open-to", address: "10.255.0.8" },
      ],
      [
        { kind: "all-to", address: "fd12::aff:9" },
        { kind: "udp-to", address: "2001:db8::1" },
      ],
    ]);
    assert.deepEqual(left, ["123456789ab", "1234678a", "123467a"]);
  });

  it("lists the UDP flows that were led to these addresses, of both families", () => {
    const lists = [
      ["10.255.0.9"],
      ["fd12::aff:8"],
      ["10.255.0.8", "fd12::aff:9"],
      [],
      ["192.0.2.1"],
    ];
    assert.deepEqual(toldBy("[]", JSON.stringify(lists)), ["1", "b", "28", "", ""]);
  });
});

/** Makes flows, lists them, has them end, and prints what was told of them. */
const COUNTING = `
import { execFileSync } from "node:child_process";
import { openFlowSource } from ${JSON.stringify(SOURCE)};
const run = (...args) => execFileSync("conntrack", args, { encoding: "utf8", stdio: "pipe" });
const add = (protocol, from, to, asked, port, led, more = []) =>
  run("-I", "-p", protocol, "-s", from, "-d", to, "-q", from, ...led, "--sport", "1000", "--dport", String(asked),
    "--reply-port-src", String(port), "--reply-port-dst", "1000", "-t", "100", "-u", "SEEN_REPLY", ...more);
const source = openFlowSource();
const tcp = ["--state", "ESTABLISHED"];
add("tcp", "198.51.100.1", "192.0.2.1", 8080, 80, ["-g", "10.255.0.9"], tcp);
add("tcp", "198.51.100.2", "192.0.2.1", 8080, 80, ["-r", "192.0.2.1"], tcp);
add("udp", "2001:db8:51::8", "2001:db8::1", 53, 53, ["-g", "fd12::aff:9"]);
const keys = (counts) => counts.filter(({ isAnswered }) => isAnswered).map(({ key }) => key).sort();
const told = { listed: keys(await source.list()), before: keys(source.ended(9).counts) };
run("-D", "-p", "tcp");
run("-D", "-f", "ipv6", "-p", "udp");
const { counts, isMore, isLossy } = source.ended(9);
console.log(JSON.stringify({ ...told, ended: keys(counts), isMore, isLossy, after: keys(await source.list()) }));
source.close();
`;

describe("what conntrack tells of flows", { skip: whyNot() }, () => {
  it("is which there are, and which have ended, of those that were led to somebody", () => {
    const argv = ["-n", process.execPath, "--input-type=module", "-e", COUNTING];
    const told: unknown = JSON.parse(execFileSync("unshare", argv, { encoding: "utf8" }));
    const flows = ["tcp 8080 10.255.0.9", "udp 53 fd12::aff:9"];
    assert.deepEqual(told, {
      ...{ listed: flows, before: [], ended: flows },
      ...{ isMore: false, isLossy: false, after: [] },
    });
  });
});
