import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { SystemError } from "../base/errors.ts";
import { distrustLinks, readFirewalld, trustLinks } from "./firewalld.ts";
import type { Nft } from "./nft/nft.ts";
import type { RunTool } from "./run.ts";

/** nftables with this chain of firewalld's, sorting packets of these links. */
function nftWith(chain: string, links: readonly string[]): Nft {
  const rules = links.map((right) => ({
    rule: {
      expr: [
        { match: { op: "==", left: { meta: { key: "iifname" } }, right } },
        { goto: { target: "filter_FWD_trusted" } },
      ],
    },
  }));
  return {
    version: "fake",
    run: async () => {},
    list: async (what) =>
      what === `chain inet firewalld ${chain}` ? { nftables: rules } : undefined,
    close: async () => {},
  };
}

/** firewall-cmd that has these links in the zone, and records what it was told. */
function firewallCmd(has: readonly string[] = [], status = 0) {
  const told: string[] = [];
  const run: RunTool = async (_, args) => {
    const asked = /--query-interface=(\S+)/.exec(args.join(" "))?.[1];
    if (asked === undefined) told.push(args.join(" "));
    const isThere = asked === undefined || has.includes(asked);
    return { status: isThere ? status : 1, stdout: "", stderr: "Error: INVALID_ZONE" };
  };
  return { run, told };
}

describe("firewalld", () => {
  for (const chain of ["filter_FORWARD_ZONES", "filter_FORWARD_IN_ZONES"]) {
    it(`is asked by ${chain} which links it has in a zone`, async () => {
      const none = await readFirewalld(nftWith(chain, ["eth0"]));
      assert.deepEqual(none?.untrusted, ["weft0", "wv+", "wb+"]);
      const both = await readFirewalld(nftWith(chain, ["weft0", "wv*", "wb*"]));
      assert.deepEqual(both?.untrusted, []);
    });
  }

  it("is not there on most hosts", async () => {
    assert.equal(await readFirewalld(nftWith("other", [])), undefined);
  });

  it("is told the links for now and for after its reload", async () => {
    const { run, told } = firewallCmd();
    await trustLinks(run, ["weft0", "wv+"]);
    assert.deepEqual(told, [
      "--permanent --zone=trusted --add-interface=weft0 --add-interface=wv+",
      "--zone=trusted --add-interface=weft0 --add-interface=wv+",
    ]);
  });

  it("is told nothing when it has them", async () => {
    const { run, told } = firewallCmd();
    await trustLinks(run, []);
    assert.deepEqual(told, []);
  });

  it("gives back only what it has", async () => {
    const { run, told } = firewallCmd(["weft0"]);
    await distrustLinks(run);
    assert.deepEqual(told, [
      "--zone=trusted --remove-interface=weft0",
      "--permanent --zone=trusted --remove-interface=weft0",
    ]);
  });

  it("says in its own words why it refused", async () => {
    const { run, told } = firewallCmd([], 112);
    await assert.rejects(trustLinks(run, ["weft0"]), (error: Error) => {
      assert(error instanceof SystemError);
      assert.match(error.message, /INVALID_ZONE/);
      return true;
    });
    assert.equal(told.length, 1, "the running one is what is looked at, so it is told last");
  });
});
