/** Where a node's endpoints are asked whether they are there. */
import assert from "node:assert/strict";
import { test } from "node:test";
import type { NodeID } from "../base/ids.ts";
import {
  makeAttachment,
  makeNetwork,
  makeNode,
  makeOverlay,
  makeTask,
} from "../cluster/factories.ts";
import type { NetworkAttachment } from "../cluster/objects.ts";
import { createMemoryStore } from "../cluster/open-store.ts";
import { runningEndpoints } from "./mesh-queries.ts";

const INGRESS = makeNetwork({ id: "ingress-id" });
const LAN = makeOverlay({ id: "lan-id", name: "lan" });

function placeIn(network: typeof INGRESS, address: string): NetworkAttachment {
  return { network: { id: network.id, name: network.spec.name }, addresses: [address] };
}

test("what publishes is asked itself, and its host answers for what only networks' members reach", async () => {
  const store = createMemoryStore();
  await store.update((tx) => {
    for (const network of [INGRESS, LAN]) tx.put("network", network);
    for (const [at, id] of ["n1", "n2"].entries()) {
      tx.put("node", makeNode({ id, index: at + 1, ingressAddress: `10.255.0.${at + 2}` }));
    }
    const published = [placeIn(LAN, "10.0.1.5/24"), placeIn(INGRESS, "10.255.0.9/16")];
    const inner = [placeIn(LAN, "10.0.1.6/24")];
    const on1 = { nodeID: "n1", serviceID: "s" };
    tx.put("task", makeTask({ ...on1, id: "both", networksAttachments: published }));
    tx.put("task", makeTask({ ...on1, id: "inner", networksAttachments: inner }));
    tx.put("task", makeTask({ ...on1, id: "alone", networksAttachments: [] }));
    const starting = { state: "starting", networksAttachments: inner } as const;
    tx.put("task", makeTask({ ...on1, ...starting, id: "early" }));
    tx.put("task", makeTask({ ...on1, nodeID: "n2", id: "else", networksAttachments: inner }));
    tx.put("attachment", makeAttachment({ id: "mine", nodeID: "n1" as NodeID }));
  });
  const asked = Object.fromEntries(
    runningEndpoints(store.view(), "n1").map(({ taskID, address }) => [taskID, address]),
  );
  assert.deepEqual(asked, { both: "10.255.0.9", inner: "10.255.0.2", mine: "10.255.0.2" });
});
