import assert from "node:assert/strict";
import { test } from "node:test";
import { lastHeardMs } from "./tunnel-hearing.ts";

const PINGS = `icmp     1 12 src=10.255.0.3 dst=10.255.0.2 type=8 code=0 id=7 zone-orig=1 src=10.255.0.2 dst=10.255.0.3 type=0 code=0 id=7 use=1
icmp     1 27 src=10.255.0.3 dst=10.255.0.2 type=8 code=0 id=8 zone-orig=1 [UNREPLIED] src=10.255.0.2 dst=10.255.0.3 type=0 code=0 id=8 use=1
icmp     1 29 src=10.255.0.3 dst=10.255.0.2 type=13 code=0 id=9 src=10.255.0.2 dst=10.255.0.3 type=14 code=0 id=9 use=1
`;

test("a peer was heard when its newest ping came, as conntrack counts", () => {
  assert.equal(lastHeardMs(PINGS, 30), 3_000);
  assert.equal(lastHeardMs("", 30), undefined);
  assert.equal(lastHeardMs(PINGS, Number.NaN), undefined);
});
