import assert from "node:assert/strict";
import { test } from "node:test";
import { type Random, randomBelow } from "../../src/base/random.ts";
import { TIMINGS } from "../../src/gossip/timings.ts";
import { forSeeds } from "./gossip/seeds.ts";
import { SimulatedGossip, type SimulationInit } from "./gossip/simulated-gossip.ts";

const lan = TIMINGS.lan;
const settled = (init: Omit<SimulationInit, "timings" | "acquainted">) => {
  const cluster = new SimulatedGossip({ ...init, timings: lan, acquainted: true });
  cluster.run(1_000 + cluster.random.next() * 1_000);
  return cluster;
};
const failures = (cluster: SimulatedGossip) =>
  cluster.observations.filter(({ change }) => change === "failed");

/**
 * The promise of the mesh: no new connection to a dead node after 3 s. With more members than probes in a
 * second, who asks first is chance: one crash in a hundred takes longer.
 */
const DEATH_MS_MAX = { 2: 3_000, 3: 3_000, 4: 3_000, 7: 3_000, 30: 5_000 };

/** Somebody looks for a lost member every 2 s; where that meets one who then asks for another, it is twice as long. */
const HEALED_MS_MAX = 6_000;

for (const [count, deathMsMax] of Object.entries(DEATH_MS_MAX)) {
  const nodes = Number(count);
  test(`of ${nodes} nodes one crashes: dead on every other within ${deathMsMax} ms, and nobody else`, () => {
    forSeeds(nodes > 10 ? 20 : 500, (seed) => {
      const cluster = settled({ seed, nodes });
      const crashedAt = cluster.now;
      cluster.crash("n2");
      cluster.run(deathMsMax);
      const dead = failures(cluster);
      assert.equal(dead.length, nodes - 1, `heard by ${dead.length}`);
      assert.ok(dead.every(({ node, at }) => node === "n2" && at > crashedAt));
    });
  });
}

test("of a thousand nodes, some far away, one crashes and comes back, one is cut off meanwhile: all know it in seconds", () => {
  forSeeds(1, (seed) => {
    const cluster = settled({ seed, nodes: 1_000, loss: 0.01, delayMs: [0.1, 50] });
    cluster.crash("n2");
    cluster.partition((node) => Number(node === "n5"));
    cluster.run(5_000);
    const dead = failures(cluster).filter(({ observer }) => observer !== "n5");
    assert.ok(dead.every(({ node }) => node === "n2" || node === "n5"));
    assert.equal(dead.length, 2 * 998);
    cluster.partition(undefined);
    cluster.restart("n2");
    cluster.run(HEALED_MS_MAX);
    assert.deepEqual(cluster.disagreements(), []);
  });
});

test("no false verdict in minutes at 5 % loss", () => {
  forSeeds(6, (seed) => {
    const cluster = settled({ seed, nodes: 3 + (seed % 6), loss: 0.05, delayMs: [0.1, 20] });
    cluster.run(120_000);
    assert.deepEqual(failures(cluster), []);
  });
});

test("a member that sleeps for a second is not dead, and holds nobody else for dead", () => {
  forSeeds(100, (seed) => {
    const cluster = settled({ seed, nodes: 3 + (seed % 4), loss: 0.01 });
    for (let round = 0; round < 10; round++) {
      cluster.pause(`n${1 + (round % cluster.nodes.length)}`, 1_000);
      cluster.run(2_000 + cluster.random.next() * 2_000);
    }
    assert.deepEqual(failures(cluster), []);
  });
});

test("one that hears nothing, or is not heard, is dead to the others, and nobody else is, whomever it accuses", () => {
  forSeeds(200, (seed) => {
    const cluster = settled({ seed, nodes: 3 + (seed % 5), loss: 0.01 });
    const half = seed % 2 === 0 ? cluster.deaf : cluster.mute;
    half.add("n2");
    cluster.run(10_000);
    const verdicts = failures(cluster).filter(({ observer }) => observer !== "n2");
    assert.ok(verdicts.every(({ node }) => node === "n2"));
    assert.equal(verdicts.length, cluster.nodes.length - 1);
    half.clear();
    cluster.run(HEALED_MS_MAX);
    assert.deepEqual(cluster.disagreements(), []);
  });
});

test("who crashed and comes back without memory is believed again at once", () => {
  forSeeds(200, (seed) => {
    const cluster = settled({ seed, nodes: 5 });
    cluster.crash("n3");
    cluster.run(cluster.random.next() * 6_000);
    cluster.restart("n3");
    cluster.run(4_000);
    assert.deepEqual(cluster.disagreements(), []);
  });
});

test("a leave is left everywhere, not dead", () => {
  forSeeds(100, (seed) => {
    const cluster = settled({ seed, nodes: 6, loss: 0.05 });
    cluster.leave("n4");
    cluster.run(2_000);
    assert.deepEqual(cluster.disagreements(), []);
    assert.deepEqual(failures(cluster), []);
    const states = cluster.nodes
      .filter(({ name }) => name !== "n4")
      .map(({ name }) => cluster.belief(name, "n4")?.state);
    assert.ok(states.every((state) => state === "left"));
  });
});

test("packets that are recorded and sent again up to a minute later revive nobody, and kill nobody", () => {
  forSeeds(4, (seed) => {
    const cluster = settled({ seed, nodes: 3 + (seed % 5), loss: 0.02, replayed: 0.3 });
    cluster.pause("n3", 1_200);
    cluster.run(30_000);
    cluster.crash("n2");
    cluster.run(90_000);
    assert.deepEqual(cluster.disagreements(), []);
    const revived = cluster.observations.filter(
      ({ at, change }) => at > 35_000 && change === "joined",
    );
    assert.deepEqual(revived, []);
    assert.ok(failures(cluster).every(({ node }) => node === "n2"));
    assert.equal(failures(cluster).length, cluster.nodes.length - 1);
    cluster.restart("n2");
    cluster.run(90_000);
    assert.deepEqual(cluster.disagreements(), []);
    cluster.leave("n2");
    cluster.run(90_000);
    assert.deepEqual(cluster.disagreements(), []);
  });
});

test("a partition of any length heals within seconds", () => {
  forSeeds(60, (seed) => {
    const nodes = [6, 3][seed % 2] ?? 0;
    const cluster = settled({ seed, nodes });
    const minority = ["n1", ...(nodes === 6 ? ["n2"] : [])];
    cluster.partition((node) => Number(minority.includes(node)));
    cluster.run([10_000, 40_000, 10_000, 300_000][seed % 4] ?? 0);
    const verdicts = 2 * minority.length * (nodes - minority.length);
    assert.ok(failures(cluster).length >= verdicts, "each side holds the other for dead");
    cluster.partition(undefined);
    cluster.run(HEALED_MS_MAX);
    assert.deepEqual(cluster.disagreements(), []);
  });
});

test("fifty join at once through one, and all know all", () => {
  forSeeds(1, (seed) => {
    const cluster = new SimulatedGossip({ seed, nodes: 50, timings: lan, loss: 0.02 });
    cluster.run(20_000);
    assert.deepEqual(cluster.disagreements(), []);
    assert.deepEqual(failures(cluster), []);
  });
});

test("whatever happens, all agree in the end on who is there", () => {
  forSeeds(100, (seed) => {
    const cluster = new SimulatedGossip({ seed, nodes: 3 + (seed % 8), timings: lan });
    const { random } = cluster;
    const steps = 5 + randomBelow(random, 20);
    for (let each = 0; each < steps; each++) {
      disturb(cluster, random);
      cluster.run(random.next() * 4_000);
    }
    cluster.partition(undefined);
    cluster.loss = 0.01;
    cluster.run(60_000);
    assert.deepEqual(cluster.disagreements(), []);
  });
});

test("a run replays exactly from its seed", () => {
  const run = () => {
    const cluster = settled({ seed: 7, nodes: 8, loss: 0.1 });
    cluster.crash("n3");
    cluster.run(10_000);
    return { observations: cluster.observations, bytes: cluster.bytes };
  };
  assert.deepEqual(run(), run());
});

/** One thing that goes wrong, or comes right again; most of the nodes stay. */
function disturb(cluster: SimulatedGossip, random: Random): void {
  const node = cluster.nodes[randomBelow(random, cluster.nodes.length)];
  if (node === undefined) return;
  const running = cluster.nodes.filter((each) => each.running).length;
  switch (randomBelow(random, 7)) {
    case 0:
      if (node.running && running > 2) cluster.crash(node.name);
      return;
    case 1:
      if (!node.running) cluster.restart(node.name);
      return;
    case 2:
      if (node.running) cluster.pause(node.name, random.next() * 3_000);
      return;
    case 3: {
      const bit = randomBelow(random, 3);
      cluster.partition((name) => (Number(name.slice(1)) >> bit) & 1);
      return;
    }
    case 4:
      cluster.partition(undefined);
      return;
    case 5:
      cluster.loss = random.next() * 0.3;
      return;
    default:
      if (node.running && running > 2 && cluster.now >= node.pausedUntil) cluster.leave(node.name);
  }
}
