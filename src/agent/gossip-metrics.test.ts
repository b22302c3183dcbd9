import assert from "node:assert/strict";
import { test } from "node:test";
import { metricsPage } from "../base/metrics.ts";
import { NO_COUNTS } from "../gossip/gossip-node.ts";
import { gossipFamilies } from "./gossip-metrics.ts";

test("members by state, lag and what was refused", () => {
  const member = { nodeID: "a", hostname: "n1", address: "10.0.0.1:7946" } as const;
  const page = metricsPage(
    gossipFamilies({
      ...{ fault: "", keys: [], ailments: [], disputed: 1 },
      counters: { ...NO_COUNTS, packetsIn: 7, unsealed: 2, exchangesFailed: 3 },
      members: [
        { ...member, state: "alive" },
        { ...member, nodeID: "b", state: "alive", lag: 2 },
        { ...member, nodeID: "c", state: "dead", lag: 1 },
      ],
    }),
  );
  for (const line of [
    'weft_gossip_members{state="alive"} 2',
    'weft_gossip_members{state="dead"} 1',
    'weft_gossip_members{state="left"} 0',
    "weft_gossip_lag 3",
    "weft_gossip_disputed 1",
    'weft_gossip_packets_total{direction="in"} 7',
    'weft_gossip_refused_total{reason="unsealed"} 2',
    'weft_gossip_exchanges_total{outcome="failed"} 3',
  ]) {
    assert.ok(page.split("\n").includes(line), `${line} in ${page}`);
  }
});
