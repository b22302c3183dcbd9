import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../base/clock.ts";
import { silentLogger } from "../base/logger.ts";
import { FakeKeeper } from "./fakes.ts";
import { KeeperLink } from "./keeper-link.ts";

const WEB = { protocol: "tcp", port: 8080 } as const;

test("ports that somebody else has taken off the keeper are asked for again, those that it holds are not", async () => {
  const keeper = new FakeKeeper();
  let changed = Promise.withResolvers<void>();
  const link = new KeeperLink({
    keeper,
    ensureKeeper: async () => {},
    clock: new FakeClock(),
    log: silentLogger,
    onChange: () => changed.resolve(),
  });
  link.start();
  const known = async (keys: readonly string[]) => {
    while ([...link.heldKeys()].join() !== keys.join()) {
      await changed.promise;
      changed = Promise.withResolvers();
    }
  };
  await link.ask(() => [WEB]);
  await known(["tcp/8080"]);
  await link.ask(() => [WEB]);
  assert.deepEqual(keeper.asked, [["tcp/8080"]]);
  await keeper.holdPorts([]);
  await known([]);
  await link.ask(() => [WEB]);
  assert.deepEqual(keeper.asked, [["tcp/8080"], [], ["tcp/8080"]]);
  await link.stop();
});
