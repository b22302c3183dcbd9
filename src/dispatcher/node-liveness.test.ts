import assert from "node:assert/strict";
import { test } from "node:test";
import { FakeClock } from "../base/clock.ts";
import type { TaskID } from "../base/ids.ts";
import { seededRandom } from "../base/random.ts";
import { makeClusterSpec } from "../cluster/factories.ts";
import { heartbeatTiming, nextBeatMs } from "./heartbeat.ts";
import { NodeLiveness } from "./node-liveness.ts";

const TIMING = heartbeatTiming(makeClusterSpec());
const T1 = "t1" as TaskID;
const T2 = "t2" as TaskID;

function setUp() {
  const clock = new FakeClock();
  const verdicts: string[] = [];
  const world = {
    endpoints: [] as string[],
    /** Where one is asked, if not at its own address. */
    addresses: {} as Record<string, string>,
    probed: [] as string[],
    answering: new Set<string>(),
    evidence: 0,
    asked: 0,
    /** Whether a node that is asked for a beat sends one. */
    beats: false,
  };
  const liveness = new NodeLiveness({
    clock,
    timing: () => TIMING,
    probe: {
      answers: async (address) => {
        world.probed.push(address);
        return world.answering.has(address);
      },
    },
    endpoints: () =>
      world.endpoints.map((id) => ({ taskID: id as TaskID, address: world.addresses[id] ?? id })),
    onVerdict: (_nodeID, verdict) => verdicts.push(verdict.kind),
    onEvidence: () => (world.evidence += 1),
    askForBeat: (nodeID) => {
      world.asked += 1;
      if (world.beats) liveness.heard(nodeID);
    },
  });
  /** Lets time go by in beats, and the answers come in. */
  const pass = async (ms: number) => {
    for (let left = ms; left > 0; left -= 50) {
      clock.advance(Math.min(50, left));
      await new Promise((resolve) => setImmediate(resolve));
    }
  };
  return { clock, liveness, verdicts, world, pass };
}

test("by default a node beats each second and is asked after at 2.25 s; the user's setting scales it", () => {
  assert.deepEqual(TIMING, { periodMs: 1_000, graceMs: 2_250, patienceMs: 15_000 });
  const slow = makeClusterSpec({ dispatcher: { heartbeatPeriod: 20_000_000_000 } });
  assert.deepEqual(heartbeatTiming(slow), {
    periodMs: 4_000,
    graceMs: 9_000,
    patienceMs: 60_000,
  });
  const random = seededRandom(1);
  for (let i = 0; i < 100; i++) {
    const next = nextBeatMs(TIMING, random);
    assert.ok(next > 749 && next <= 1_000);
  }
});

test("a node that beats is never judged; a silent one without endpoints is down at the grace", async () => {
  const { liveness, verdicts, pass } = setUp();
  liveness.connected("n1");
  for (let beat = 0; beat < 20; beat++) {
    await pass(1_000);
    assert.equal(liveness.heard("n1"), false);
  }
  await pass(2_200);
  assert.deepEqual(verdicts, []);
  await pass(100);
  assert.deepEqual(verdicts, ["down"]);
  assert.equal(liveness.heard("n1"), true, "back again");
});

test("a dead host is down at the grace though it ran tasks", async () => {
  const { liveness, verdicts, world, pass } = setUp();
  world.endpoints = [T1, T2];
  liveness.connected("n1");
  await pass(2_400);
  assert.deepEqual(verdicts, ["down"]);
  assert.deepEqual(liveness.evidence().answering, new Set());
});

test("a living host whose daemon is away keeps its tasks for Docker's patience, and its connections after it", async () => {
  const { liveness, verdicts, world, pass } = setUp();
  world.endpoints = [T1, T2];
  world.answering = new Set([T1]);
  liveness.connected("n1");
  liveness.closed("n1");
  await pass(200);
  assert.deepEqual(liveness.evidence().lost, new Set([T2]), "what is silent is lost at once");
  assert.deepEqual(verdicts, []);
  await pass(2_300);
  assert.deepEqual(new Set(verdicts), new Set(["doubtful"]));
  await pass(11_000);
  assert.deepEqual(new Set(verdicts), new Set(["doubtful"]));
  await pass(2_500);
  assert.equal(verdicts.at(-1), "down");
  assert.deepEqual(liveness.evidence().answering, new Set([T1]));
  world.answering = new Set();
  await pass(1_100);
  assert.deepEqual(liveness.evidence().answering, new Set());
});

test("a host that dies while its daemon is away is down with its last endpoint", async () => {
  const { liveness, verdicts, world, pass } = setUp();
  world.endpoints = [T1];
  world.answering = new Set([T1]);
  liveness.connected("n1");
  await pass(3_000);
  assert.deepEqual(verdicts, ["doubtful"]);
  world.answering = new Set();
  await pass(1_100);
  assert.equal(verdicts.at(-1), "down");
});

test("a daemon that comes back in time was never away", async () => {
  const { liveness, verdicts, world, pass } = setUp();
  world.endpoints = [T1];
  liveness.connected("n1");
  liveness.closed("n1");
  await pass(1_000);
  assert.deepEqual(liveness.evidence().lost, new Set([T1]));
  liveness.connected("n1");
  assert.deepEqual(liveness.evidence().lost, new Set());
  await pass(2_000);
  assert.deepEqual(verdicts, []);
});

test("members of before a manager's start are given time to find the way back", async () => {
  const { liveness, verdicts, pass } = setUp();
  liveness.await("n1");
  liveness.await("n2");
  await pass(5_000);
  liveness.connected("n1");
  for (let beat = 0; beat < 12; beat++) {
    await pass(1_000);
    liveness.heard("n1");
  }
  assert.deepEqual(verdicts, ["down"]);
});

test("a manager that was held up itself does not blame its nodes", async () => {
  const { clock, liveness, verdicts, pass } = setUp();
  // The loop stands still for ten seconds: what nodes sent meanwhile is still to be read.
  let late = 0;
  const monotonic = clock.monotonic.bind(clock);
  clock.monotonic = () => monotonic() + late;
  liveness.connected("n1");
  await pass(1_000);
  late = 10_000;
  await pass(1_200);
  assert.deepEqual(verdicts, []);
  liveness.heard("n1");
  await pass(2_200);
  assert.deepEqual(verdicts, []);
});

test("a node that the gossip gives up is down at once when it owes a beat, whatever its period", async () => {
  const { liveness, verdicts, world, pass } = setUp();
  liveness.connected("n1");
  liveness.doubted("n1");
  assert.equal(world.asked, 1);
  await pass(1_500);
  assert.deepEqual(verdicts, [], "doubt alone is no verdict");
  liveness.accused("n1");
  await pass(50);
  assert.deepEqual(verdicts, ["down"]);
  assert.equal(world.asked, 1);
});

test("a node that the gossip gives up without a doubt before has half a second to beat", async () => {
  const { liveness, verdicts, pass } = setUp();
  liveness.connected("n1");
  liveness.accused("n1");
  await pass(450);
  assert.deepEqual(verdicts, []);
  await pass(100);
  assert.deepEqual(verdicts, ["down"]);
});

test("endpoints of a doubted node that owes its beat are asked before the verdict, and no others", async () => {
  const { liveness, verdicts, world, pass } = setUp();
  world.endpoints = [T1];
  liveness.connected("n1");
  liveness.connected("n2");
  liveness.doubted("n1");
  await pass(1_000);
  assert.deepEqual(world.probed, [], "not before the beat is overdue");
  await pass(450);
  assert.deepEqual(world.probed, [T1]);
  assert.deepEqual(liveness.evidence().lost, new Set(), "nothing is hidden for a doubt");
  liveness.accused("n1");
  await pass(50);
  assert.deepEqual(verdicts, ["down"]);
  assert.deepEqual(world.probed, [T1], "the answer was there already");
});

test("a doubted node that beats is not asked after, and old answers are none", async () => {
  const { liveness, verdicts, world, pass } = setUp();
  world.endpoints = [T1];
  world.answering = new Set([T1]);
  liveness.connected("n1");
  liveness.doubted("n1");
  await pass(600);
  liveness.heard("n1");
  await pass(1_000);
  assert.deepEqual(world.probed, []);
  liveness.doubted("n1");
  await pass(1_100);
  assert.deepEqual(world.probed, [T1]);
  liveness.heard("n1");
  // A beat later it dies: what its endpoints said before is of the past.
  world.answering = new Set();
  liveness.accused("n1");
  await pass(600);
  assert.deepEqual(world.probed, [T1, T1]);
  assert.deepEqual(verdicts, ["down"]);
});

test("a node that beats lives, whatever the gossip says; then silence is judged as ever", async () => {
  const { liveness, verdicts, world, pass } = setUp();
  liveness.connected("n1");
  world.beats = true;
  liveness.doubted("n1");
  await pass(1_000);
  liveness.accused("n1");
  await pass(2_200);
  assert.deepEqual(verdicts, []);
  await pass(1_200);
  assert.deepEqual(verdicts, ["down"]);
  liveness.accused("n1");
  liveness.doubted("unknown");
  liveness.accused("unknown");
  await pass(3_000);
  assert.deepEqual(verdicts, ["down"]);
});

test("a node whose daemon alone is away is in doubt when the gossip gives it up", async () => {
  const { liveness, verdicts, world, pass } = setUp();
  world.endpoints = [T1];
  world.answering = new Set([T1]);
  liveness.connected("n1");
  liveness.closed("n1");
  liveness.accused("n1");
  await pass(600);
  assert.deepEqual(verdicts, ["doubtful"]);
  await pass(15_500);
  assert.equal(verdicts.at(-1), "down");
});

test("a host answers once for all of its tasks that nobody else reaches, and they share its fate", async () => {
  const { liveness, verdicts, world, pass } = setUp();
  world.endpoints = [T1, T2];
  world.addresses = { [T1]: "host", [T2]: "host" };
  world.answering = new Set(["host"]);
  liveness.connected("n1");
  liveness.closed("n1");
  await pass(200);
  assert.deepEqual(world.probed, ["host"]);
  await pass(2_500);
  assert.deepEqual(new Set(verdicts), new Set(["doubtful"]));
  assert.deepEqual(liveness.evidence().answering, new Set([T1, T2]));
  world.answering = new Set();
  await pass(1_500);
  assert.equal(verdicts.at(-1), "down");
  assert.deepEqual(liveness.evidence().lost, new Set([T1, T2]));
});
