import assert from "node:assert/strict";
import { it } from "node:test";
import { desired } from "./desired.ts";
import { kernelMesh } from "./inspect.ts";
import { makeEndpoint, makeFacts, makeService, makeView } from "./testing.ts";

const FLOWS = `tcp      6 431999 ESTABLISHED src=1.1.1.1 dst=192.168.99.100 sport=1 dport=8080 src=10.255.0.9 dst=1.1.1.1 sport=80 dport=1 [ASSURED] use=1
tcp      6 3599 CLOSE_WAIT src=1.1.1.1 dst=192.168.99.100 sport=2 dport=8080 src=10.255.0.9 dst=1.1.1.1 sport=80 dport=2 [ASSURED] use=1
tcp      6 100 TIME_WAIT src=1.1.1.1 dst=192.168.99.100 sport=3 dport=8080 src=10.255.0.9 dst=1.1.1.1 sport=80 dport=3 [ASSURED] use=1
`;

it("tells of each port who is live, of each endpoint whether it is routed to, and its connections", () => {
  const endpoints = [
    makeEndpoint({ address: "10.255.0.9", nodeIndex: 2 }),
    makeEndpoint({ address: "10.255.0.10", nodeIndex: 2, state: "draining" }),
  ];
  const view = makeView({ services: [makeService(8080, { endpoints })] });
  const { ports, routed, connections, revision } = kernelMesh(
    7,
    desired(view, makeFacts(view)),
    FLOWS,
  );
  assert.equal(revision, 7);
  assert.deepEqual(ports[0], { protocol: "tcp", publishedPort: 8080, live: ["10.255.0.9"] });
  assert.deepEqual([...routed].sort(), ["10.255.0.10", "10.255.0.9"]);
  assert.deepEqual(connections, { "10.255.0.9": 2 });
});
