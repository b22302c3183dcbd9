import assert from "node:assert/strict";
import { test } from "node:test";
import type { GossipAnswer } from "../api/gossip.ts";
import { describeGossip } from "./gossip-table.ts";

const ANSWER: GossipAnswer = {
  Fault: "",
  Keys: ["0a1b2c3d", "ffffffff"],
  Counters: {
    ...{ PacketsIn: 10, PacketsOut: 9, BytesOut: 900, Undecodable: 1, Unsealed: 2 },
    ...{ Exchanges: 3, ExchangesFailed: 1 },
  },
  Disputed: 1,
  Ailments: [
    { Kind: "udp", Addr: "10.0.0.3" },
    { Kind: "tcp", Addr: "10.0.0.4" },
    { Kind: "key", Addr: "10.0.0.9", Packets: 7 },
    { Kind: "name", Addr: "10.0.0.8", NodeID: "b" },
    { Kind: "oneway", Addr: "10.0.0.4" },
    { Kind: "checksum", Addr: "10.0.0.3" },
  ],
  Members: [
    { ID: "a", Hostname: "n1", Addr: "10.0.0.1:7946", State: "alive" },
    {
      ...{ ID: "b", Hostname: "n2", Addr: "10.0.0.2:7946", State: "alive" },
      ...{ Lag: 0, Agrees: true, AnsweredMsAgo: 240 },
    },
    {
      ...{ ID: "c", Hostname: "n3", Addr: "10.0.0.3:7946", State: "suspect" },
      ...{ Lag: 2, Agrees: false, AnsweredMsAgo: 4_000 },
    },
    {
      ...{ ID: "d", Hostname: "n4", Addr: "10.0.0.4:7946", State: "alive" },
      ...{ Lag: 0, Agrees: false, AnsweredMsAgo: 100 },
    },
  ],
};

test("each member with how far this node lags behind it, then what was refused", () => {
  assert.deepEqual(describeGossip(ANSWER), [
    "NODE   HOSTNAME   ADDRESS         STATE     LAG        ANSWERED",
    "a      n1         10.0.0.1:7946   alive     -          -",
    "b      n2         10.0.0.2:7946   alive     none       0.2 s ago",
    "c      n3         10.0.0.3:7946   suspect   2 behind   4.0 s ago",
    "d      n4         10.0.0.4:7946   alive     differs    0.1 s ago",
    "",
    "! 7946/udp is closed between this host and 10.0.0.3, 7946/tcp is open",
    "! 7946/tcp is closed between this host and 10.0.0.4, 7946/udp is open",
    "! 10.0.0.9 seals its gossip with a key that this node does not have: 7 packets of it were not opened",
    "! a second host goes by the certificate of b: 10.0.0.8",
    "! the tunnel passes from 10.0.0.4 to this host, and not from this host to 10.0.0.4",
    "! what this host sends to 10.0.0.3 by the tunnel arrives with wrong checksums",
    "keys: 0a1b2c3d, ffffffff (the first seals)",
    "packets: 10 in, 9 out; not opened by any key: 2; unreadable: 1",
    "not believed: 1, about endpoints that managers have put elsewhere",
    "exchanges: 3, failed: 1",
  ]);
});

test("a node that takes no part says why", () => {
  assert.deepEqual(describeGossip({ ...ANSWER, Fault: "the port is taken", Members: [] }), [
    "this node does not gossip: the port is taken",
  ]);
});
