/**
 * What the membership's timings give by size, printed as a table: `node test/sim/gossip/report.ts 3 30 300`.
 * Each row: nodes all acquainted at 1 % loss; bytes at rest; one crashes; when the first, half, 99 % and
 * all of the others hold it for dead; beside it what memberlist's own defaults need at the least. What is
 * exchanged over TCP is too rare for ten seconds and is computed: each member as long as the product's, sent
 * once by who asks and once by who answers.
 */
import { encodeMemberView, OUR_VERSIONS } from "../../../src/gossip/messages.ts";
import { pushPullEveryMs } from "../../../src/gossip/swim.ts";
import { TIMINGS } from "../../../src/gossip/timings.ts";
import { SimulatedGossip } from "./simulated-gossip.ts";

const REST_MS = 10_000;
const WAIT_MS = 15_000;
const SEEDS = 3;

/** A node's ID, a hostname, an IPv4 address. */
const MEMBER_BYTES = encodeMemberView({
  node: "x".repeat(25),
  incarnation: 1,
  address: { host: "192.168.99.100", port: 7_946 },
  meta: Buffer.from("worker-0123"),
  versions: OUR_VERSIONS,
  state: "alive",
}).length;

const sizes = process.argv.slice(2).map(Number);
const columns = [
  "nodes",
  "seed",
  "B/s/node",
  "packets/s/node",
  "TCP B/s/node",
  "first",
  "half",
  "99 %",
  "all",
  "false",
  "memberlist",
];
console.log(columns.map((column) => column.padStart(10)).join(" "));
for (const nodes of sizes.length > 0 ? sizes : [3, 30, 300]) {
  for (let seed = 1; seed <= SEEDS; seed++) row(nodes, seed);
}

function row(nodes: number, seed: number): void {
  const cluster = new SimulatedGossip({
    seed,
    nodes,
    timings: TIMINGS.lan,
    loss: 0.01,
    acquainted: true,
  });
  cluster.run(REST_MS);
  const perNodeSecond = (REST_MS / 1_000) * nodes;
  const bytes = cluster.bytes / perNodeSecond;
  const exchangedEveryS = pushPullEveryMs(TIMINGS.lan.pushPullIntervalMs, nodes) / 1_000;
  const exchanged = (2 * nodes * MEMBER_BYTES) / exchangedEveryS;
  const packets = cluster.packets / perNodeSecond;
  const crashedAt = cluster.now;
  cluster.crash("n2");
  cluster.run(WAIT_MS);
  const failed = cluster.observations.filter(({ change }) => change === "failed");
  const times = failed.filter(({ node }) => node === "n2").map(({ at }) => at - crashedAt);
  times.sort((a, b) => a - b);
  const at = (share: number) => times[Math.ceil(share * (nodes - 1)) - 1]?.toFixed(0) ?? "-";
  // Its LAN defaults: a probe's interval of 1 s, and a suspicion of 4 · max(1, log10 n) of them.
  const memberlist = 1_000 + 4_000 * Math.max(1, Math.log10(nodes));
  const cells = [nodes, seed, bytes.toFixed(0), packets.toFixed(1)];
  cells.push(exchanged.toFixed(0), times[0]?.toFixed(0) ?? "-");
  cells.push(at(0.5), at(0.99), at(1), failed.length - times.length, `> ${memberlist.toFixed(0)}`);
  console.log(cells.map((cell) => String(cell).padStart(10)).join(" "));
}
