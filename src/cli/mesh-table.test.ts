import assert from "node:assert/strict";
import { test } from "node:test";
import type { MeshAnswer } from "../api/mesh.ts";
import { describeMesh, describeService } from "./mesh-table.ts";

const ANSWER: MeshAnswer = {
  Revision: 12,
  Nodes: [
    { ID: "a", Hostname: "n1", Answered: true, Revision: 12 },
    { ID: "b", Hostname: "n2", Answered: true, Revision: 9 },
    { ID: "c", Hostname: "n3", Answered: false, Revision: 0 },
  ],
  Services: [
    {
      ID: "s",
      Name: "web",
      Ports: [
        {
          ...{ Protocol: "tcp", PublishedPort: 8080, TargetPort: 80 },
          Endpoints: [
            {
              ...{ TaskID: "t1", Slot: 1, Address: "10.255.0.9", NodeID: "a", Wanted: "draining" },
              Kernels: {
                a: { State: "draining", Connections: 3 },
                b: { State: "live", Connections: 0 },
              },
            },
          ],
        },
      ],
    },
  ],
};

test("each port on each node, and which kernel lags", () => {
  assert.deepEqual(describeMesh(ANSWER), [
    "SERVICE   PORT           NODE   LIVE   DRAINING   HIDDEN   CONNECTIONS   KERNEL",
    "web       8080->80/tcp   n1     0      1          0        3             up to date",
    "web       8080->80/tcp   n2     1      0          0        0             at revision 9 of 12",
    "web       8080->80/tcp   n3     ?      ?          ?        ?             does not answer",
  ]);
});

test("a port that a node does not answer, and why", () => {
  const [n1, n2, ...others] = ANSWER.Nodes;
  assert.ok(n1 && n2);
  const Unanswered = [{ Protocol: "tcp", PublishedPort: 8080, Reason: "address already in use" }];
  const answer = { ...ANSWER, Nodes: [n1, { ...n2, Unanswered }, ...others] };
  const why = "n2 does not answer port 8080/tcp: address already in use";
  const lines = describeMesh(answer);
  assert.match(lines[2] ?? "", /n2 {5}- {6}- {10}- {8}-/);
  assert.equal(lines.at(-1), why);
  const service = describeService(answer);
  assert.match(service[1] ?? "", /not answered/);
  assert.equal(service.at(-1), why);
});

test("which nodes answer at some of their addresses alone", () => {
  const [first, ...others] = ANSWER.Nodes;
  assert.ok(first);
  const PublishDefault = ["192.168.99.0/24", "127.0.0.0/8"];
  const answer = { ...ANSWER, Nodes: [{ ...first, PublishDefault }, ...others] };
  assert.deepEqual(describeMesh(answer).slice(4), [
    "",
    "n1 answers at its addresses in 192.168.99.0/24, 127.0.0.0/8 alone, unless a service says otherwise",
  ]);
});

test("interfaces are named as such, and ports that a node does not answer are", () => {
  const [first, ...others] = ANSWER.Nodes;
  assert.ok(first);
  const limits = {
    PublishDefault: ["10.0.0.0/8", "eth1"],
    Unanswered: [{ Protocol: "tcp", PublishedPort: 80, Reason: "no interface eth1" }],
  };
  const answer = { ...ANSWER, Nodes: [{ ...first, ...limits }, ...others] };
  assert.deepEqual(describeMesh(answer).slice(-2), [
    "n1 answers at its addresses in 10.0.0.0/8 and those of eth1 alone, unless a service says otherwise",
    "n1 does not answer port 80/tcp: no interface eth1",
  ]);
});

test("each endpoint of a service", () => {
  assert.deepEqual(describeService(ANSWER).slice(0, 2), [
    "TASK    PORT           ADDRESS      RUNS ON   WANTED     KERNEL OF n1       KERNEL OF n2   KERNEL OF n3",
    "web.1   8080->80/tcp   10.255.0.9   n1        draining   draining, 3 conn   live           ?",
  ]);
});
