import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createLogger } from "../../base/logger.ts";
import { NftError } from "../nft/nft.ts";
import { desiredLinks } from "./desired-links.ts";
import { FastPath } from "./fast-path.ts";
import { EMPTY_OVERLAYS } from "./state.ts";
import { local, makeEndpoint, makeNetwork, makePlace, makeService } from "./testing.ts";

function linksOf(...vnis: readonly number[]) {
  const endpoints = [makeEndpoint(11, 1), makeEndpoint(12, 2)];
  const services = [makeService(["10.0.1.2"], endpoints)];
  const networks = vnis.map((vni) => local(makeNetwork(vni, { services }), 11));
  return desiredLinks(makePlace(), networks);
}

function fastPath() {
  const transactions: string[] = [];
  const lines: string[] = [];
  const kernel = { refuses: /$^/, table: undefined as unknown, lists: 0 };
  const path = new FastPath({
    nft: {
      version: "none",
      async run(transaction) {
        if (kernel.refuses.test(transaction)) throw new NftError(transaction, "Error: refused");
        transactions.push(transaction);
      },
      async list() {
        kernel.lists += 1;
        return kernel.table;
      },
      async close() {},
    },
    indexesOf: async (names) => new Map([...names].map((name, at) => [name, 10 + at])),
    log: createLogger({ write: (line) => void lines.push(line) }),
    changing: (work) => work(),
  });
  return { path, kernel, transactions, lines };
}

const FIRST = { bridges: new Set(["wb001001"]) };

describe("the kernel's fast way", () => {
  it("is neither tried nor asked about on a host without overlay networks", async () => {
    const { path, kernel, transactions } = fastPath();
    await path.bring({ state: EMPTY_OVERLAYS });
    assert.deepEqual([transactions, kernel.lists], [[], 0]);
  });

  it("is said once to be missing, and left alone from then on", async () => {
    const { path, kernel, transactions, lines } = fastPath();
    kernel.refuses = /weft_trial/;
    for (let time = 0; time < 3; time++) {
      assert.deepEqual(await path.bring({ state: linksOf(4097) }), {
        changes: 0,
        drifts: [],
      });
    }
    assert.deepEqual([transactions, lines.length], [[], 1]);
    assert.match(lines[0] ?? "", /slower way/);
  });

  it("changes for one network without a word of the others", async () => {
    const { path, kernel, transactions } = fastPath();
    await path.bring({ state: linksOf(4097, 4098) });
    const lists = kernel.lists;
    const { changes } = await path.bring({ ...FIRST, state: EMPTY_OVERLAYS });
    assert.ok(changes > 0);
    assert.match(transactions.at(-1) ?? "", /delete map netdev weft_overlay at_wb001001\n/);
    assert.doesNotMatch(transactions.at(-1) ?? "", /at_wb001002|table/);
    assert.equal(kernel.lists, lists);
    const second = { bridges: new Set(["wb001002"]) };
    await path.bring({ ...second, state: EMPTY_OVERLAYS });
    assert.equal(transactions.at(-1), "delete table netdev weft_overlay\n");
  });

  it("begins anew where somebody has put what cannot be read", async () => {
    const { path, kernel, transactions } = fastPath();
    const map = {
      family: "netdev",
      table: "weft_overlay",
      name: "at_wb001001",
      elem: [["x", { accept: null }]],
    };
    kernel.table = { nftables: [{ map }] };
    await path.bring({ state: linksOf(4097), found: await path.look() });
    assert.equal(transactions.at(-2), "delete table netdev weft_overlay\n");
    assert.match(transactions.at(-1) ?? "", /^add table netdev weft_overlay\n/);
  });

  it("is taken away rather than left wrong, said once, and made again as a whole", async () => {
    const { path, kernel, transactions, lines } = fastPath();
    await path.bring({ state: linksOf(4097, 4098) });
    kernel.refuses = /add|flush/;
    kernel.table = { nftables: [] };
    await path.bring({ ...FIRST, state: EMPTY_OVERLAYS });
    assert.equal(transactions.at(-1), "delete table netdev weft_overlay\n");
    kernel.table = undefined;
    const made = transactions.length;
    await path.bring({ ...FIRST, state: linksOf(4097) });
    await path.bring({ state: linksOf(4097, 4098) });
    assert.deepEqual([transactions.length, lines.length], [made, 1]);
    kernel.refuses = /$^/;
    await path.bring({ state: linksOf(4097, 4098) });
    assert.match(transactions.at(-1) ?? "", /^add table netdev weft_overlay\n/);
  });
});
