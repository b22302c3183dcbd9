import assert from "node:assert/strict";
import { it } from "node:test";
import { FakeClock } from "../base/clock.ts";
import { createLogger } from "../base/logger.ts";
import { Meters } from "../base/meters.ts";
import type { Conntrack } from "./conntrack/conntrack.ts";
import type { Forget } from "./conntrack/forget.ts";
import { HostSettings } from "./host-settings.ts";
import { KernelExecutor } from "./kernel-executor.ts";
import { spawnedNft } from "./nft/open.ts";
import type { Plan } from "./plan.ts";
import type { RunTool } from "./run.ts";

const NOTHING: Plan = { additions: [], transaction: [], removals: [], forget: [], late: [] };
const GONE: readonly Forget[] = [
  { kind: "udp-to", address: "10.255.0.9" },
  { kind: "half-open-to", address: "10.255.0.9" },
];
const DRAINING: Forget = { kind: "udp-to", address: "10.255.0.8" };
const ROUTE = { table: "main", destination: "10.255.0.9", device: "wv1" };

/** What is done, in order; `fails` is a tool's answer to everything. */
function executor() {
  const done: string[] = [];
  const host = { fails: false };
  const run: RunTool = async (tool, _args, stdin = "") => {
    done.push(`${tool}: ${stdin.trim()}`);
    const stderr = host.fails ? "RTNETLINK answers: Operation not permitted" : "";
    return { status: host.fails ? 1 : 0, stdout: "", stderr };
  };
  const conntrack: Conntrack = {
    forget: async (forget) => {
      const words = forget.map((one) =>
        "address" in one ? `${one.kind} ${one.address}` : one.kind,
      );
      done.push(`forget ${words.join(", ")}`);
    },
    wake: async (addresses) => {
      done.push(`wake ${addresses.join(", ")}`);
      return 0;
    },
    flows: async () => [],
    close: async () => {},
  };
  const made = new KernelExecutor({
    ...{ nft: spawnedNft(run), run, conntrack, flows: undefined },
    ...{ clock: new FakeClock(), meters: new Meters(), settings: new HostSettings("/nowhere") },
    log: createLogger({ level: "error", write: () => {} }),
  });
  return { executor: made, done, host };
}

it("forgets flows to who is gone once more when no way leads there, and only then wakes the clients", async () => {
  const { executor: kernel, done } = executor();
  const removals: Plan["removals"] = [{ kind: "route.delete", route: ROUTE }];
  await kernel.carryOut({ ...NOTHING, removals, forget: [DRAINING, ...GONE] });
  const gone = "udp-to 10.255.0.9, half-open-to 10.255.0.9";
  assert.equal(done.length, 4, done.join("\n"));
  assert.equal(done[0], `forget udp-to 10.255.0.8, ${gone}`);
  assert.match(done[1] ?? "", /^ip: .*10\.255\.0\.9/);
  assert.deepEqual(done.slice(2), [`forget ${gone}`, "wake 10.255.0.9"]);
  assert.equal(kernel.owes, false);
});

it("forgets all that a plan says, however much that is", async () => {
  const { executor: kernel, done } = executor();
  const forget = Array.from({ length: 12_000 }, (_, n): Forget => {
    return { kind: "half-open-to", address: `10.${n >> 8}.${n & 255}.1` };
  });
  await kernel.carryOut({ ...NOTHING, forget });
  assert.deepEqual(
    done.map((line) => line.split(",").length),
    [12_000, 12_000, 12_000],
  );
});

it("owes what a plan that failed was to forget, to whatever comes next", async () => {
  const { executor: kernel, done, host } = executor();
  const additions: Plan["additions"] = [{ kind: "route.replace", route: ROUTE }];
  host.fails = true;
  await assert.rejects(kernel.carryOut({ ...NOTHING, additions, forget: GONE }));
  assert.equal(kernel.owes, true);
  host.fails = false;
  done.length = 0;
  await kernel.carryOut({ ...NOTHING, forget: [DRAINING] });
  assert.match(
    done[0] ?? "",
    /^forget udp-to 10\.255\.0\.9, half-open-to 10\.255\.0\.9, udp-to 10\.255\.0\.8$/,
  );
  assert.equal(done.at(-1), "wake 10.255.0.9");
  assert.equal(kernel.owes, false);
});
