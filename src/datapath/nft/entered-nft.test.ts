import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock } from "../../base/clock.ts";
import { EnteredNft } from "./entered-nft.ts";
import type { Context, Library } from "./libnftables.ts";
import { NftError } from "./nft.ts";

const PATH = "/run/docker/netns/a1";

/** A library in memory: what it was told, where the thread was then, and which contexts it still has. */
class Told {
  where = "the host";
  isBusy = false;
  complaint = "";
  readonly commands: string[] = [];
  readonly contexts = new Set<Context>();
  readonly clock = new FakeClock();

  open(): EnteredNft {
    const library: Library = {
      create: () => {
        const context = { of: this.where };
        this.contexts.add(context);
        return context;
      },
      free: (context) => void this.contexts.delete(context),
      bufferOutput: () => 0,
      bufferError: () => 0,
      outputOf: () => '{"nftables": []}',
      errorOf: () => this.complaint,
      setOutputFlags: () => {},
      run: Object.assign(
        (context: Context, text: string) => {
          this.commands.push(`${(context as { of: string }).of}, in ${this.where}: ${text}`);
          return this.complaint === "" ? 0 : -1;
        },
        { async: () => assert.fail("another thread would be in another namespace") },
      ),
    };
    const within = <T>(path: string, work: () => T): T => {
      const before = this.where;
      this.where = path;
      try {
        return work();
      } finally {
        this.where = before;
      }
    };
    return new EnteredNft({ library, within, clock: this.clock, isBusy: () => this.isBusy }, PATH);
  }
}

describe("nftables of another namespace", () => {
  it("is told while the thread is there, by a socket of there", async () => {
    const told = new Told();
    const nft = told.open();
    await nft.run("add table inet one");
    assert.deepEqual(await nft.list("table inet one"), { nftables: [] });
    assert.deepEqual(told.commands, [
      `${PATH}, in ${PATH}: add table inet one`,
      `${PATH}, in ${PATH}: list table inet one`,
    ]);
    assert.equal(told.where, "the host");
  });

  it("refuses as nft does, and what is not there is nothing", async () => {
    const told = new Told();
    const nft = told.open();
    told.complaint = "Error: No such file or directory";
    assert.equal(await nft.list("table inet one"), undefined);
    await assert.rejects(nft.run("flush table inet one"), NftError);
    assert.equal(told.where, "the host");
  });

  it("is let go of later, and while no other thread is in the library", async () => {
    const told = new Told();
    const nft = told.open();
    await nft.run("add table inet one");
    await nft.close();
    assert.equal(told.contexts.size, 1, "the kernel would keep us waiting");
    told.isBusy = true;
    told.clock.advance(1_000);
    assert.equal(told.contexts.size, 1);
    told.isBusy = false;
    told.clock.advance(1_000);
    assert.equal(told.contexts.size, 0);
    await told.open().close();
  });
});
