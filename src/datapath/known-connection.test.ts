import assert from "node:assert/strict";
import { test } from "node:test";
import type { TraceQuestion } from "./host-trace.ts";
import { decodeKnownConnections, knownConnectionsArgs } from "./known-connection.ts";

const QUESTION: TraceQuestion = {
  from: { kind: "uplink" },
  ...{ source: "1.1.1.1", destination: "192.168.99.100", protocol: "tcp", port: 8080 },
};

test("conntrack is asked for one client port's connections, and for none when it is not known", () => {
  assert.equal(knownConnectionsArgs(QUESTION), undefined);
  assert.equal(
    knownConnectionsArgs({ ...QUESTION, clientPort: 4000 })?.join(" "),
    "-L -p tcp --orig-src 1.1.1.1 --orig-port-src 4000 --orig-dst 192.168.99.100 --orig-port-dst 8080",
  );
});

test("what conntrack lists says who answers", () => {
  const listing = `tcp      6 431999 ESTABLISHED src=1.1.1.1 dst=192.168.99.100 sport=4000 dport=8080 src=10.255.0.9 dst=1.1.1.1 sport=80 dport=4000 [ASSURED] mark=0 use=1
udp      17 29 src=1.1.1.1 dst=192.168.99.100 sport=4000 dport=53 [UNREPLIED] src=10.255.0.8 dst=1.1.1.1 sport=53 dport=4000 mark=0 zone-orig=1 use=1
udp      17 29 src=1.1.1.1 dst=192.168.99.100 sport=4000 dport=53 src=10.255.0.8 dst=1.1.1.1 sport=53 dport=4000 mark=0 use=1
`;
  assert.deepEqual(decodeKnownConnections(listing), [
    { state: "ESTABLISHED", to: "10.255.0.9:80" },
    { state: "unanswered", to: "10.255.0.8:53" },
    { state: "answered", to: "10.255.0.8:53" },
  ]);
  assert.deepEqual(decodeKnownConnections(""), []);
});
