/** What nodes say of their endpoints, on whole simulated clusters: whatever is lost or cut off, all agree in the end. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { GossipLag } from "../../src/agent/gossip-lag.ts";
import { randomBelow } from "../../src/base/random.ts";
import { EndpointBook } from "../../src/gossip/endpoint-book.ts";
import type { SaidEndpoint } from "../../src/gossip/endpoint-news.ts";
import { said } from "../../src/gossip/testing.ts";
import { TIMINGS } from "../../src/gossip/timings.ts";
import { forSeeds } from "./gossip/seeds.ts";
import {
  type SimulatedActions,
  type SimulatedApplication,
  SimulatedGossip,
} from "./gossip/simulated-gossip.ts";

/** A node's book, used as the agent uses it. */
class Speaker implements SimulatedApplication {
  readonly book: EndpointBook;
  readonly #lag = new GossipLag();
  readonly #actions: SimulatedActions;

  constructor(actions: SimulatedActions, nodes: readonly string[]) {
    this.#actions = actions;
    this.book = new EndpointBook(actions.node, 1);
    this.book.setNodes(nodes);
  }
  say(endpoints: readonly SaidEndpoint[]): void {
    const news = this.book.setOwn(endpoints);
    if (news !== undefined) this.#actions.broadcast(EndpointBook.key, news);
    this.#actions.setDigest(this.book.digest());
  }
  onNews(payload: Buffer): void {
    for (const { key, payload: fresh } of this.book.learn(payload, 1)) {
      this.#actions.broadcast(key, fresh);
    }
    this.#actions.setDigest(this.book.digest());
  }
  state(): Buffer {
    return this.book.state();
  }
  onState(state: Buffer): void {
    this.onNews(state);
  }
  onDigest(node: string, digest: Buffer): void {
    const finding = this.book.compare(node, digest);
    if (finding === undefined) return;
    if (this.#lag.note(node, finding, this.#actions.now())) this.#actions.exchange(node);
  }
}

class Cluster {
  readonly gossip: SimulatedGossip;
  readonly speakers = new Map<string, Speaker>();

  constructor(seed: number, nodes: number, loss: number) {
    const names = Array.from({ length: nodes }, (_, index) => `n${index + 1}`);
    this.gossip = new SimulatedGossip({
      ...{ seed, nodes, loss, timings: TIMINGS.lan, acquainted: true, delayMs: [0.1, 20] },
      application: (actions) => {
        const speaker = new Speaker(actions, names);
        this.speakers.set(actions.node, speaker);
        return speaker;
      },
    });
  }
  /** Some node says something; sometimes more than fits into a packet. */
  change(): void {
    const { random } = this.gossip;
    const all = [...this.speakers.values()];
    const count = [0, 1, 3, 80][randomBelow(random, 4)] ?? 0;
    const tasks = Array.from({ length: count }, (_, index) => `${"t".repeat(22)}${index + 100}`);
    all[randomBelow(random, all.length)]?.say(
      said({ gone: tasks.slice(2), draining: tasks.slice(0, 1), ready: tasks.slice(1, 2) }),
    );
  }
  differing(): string[] {
    return [...this.speakers].flatMap(([node, { book }]) =>
      [...this.speakers].flatMap(([other, { book: others }]) => {
        const found = book.compare(other, others.digest());
        const isSame = other === node || (found?.agrees === true && found.lag === 0);
        return isSame ? [] : [`${node} differs from ${other}: ${JSON.stringify(found)}`];
      }),
    );
  }
}

test("a word of any length has reached all of three nodes within seconds, at 5 % loss", () => {
  forSeeds(10, (seed) => {
    const cluster = new Cluster(seed, 3, 0.05);
    for (let round = 0; round < 10; round++) {
      cluster.change();
      cluster.gossip.run(8_000);
      assert.deepEqual(cluster.differing(), []);
    }
  });
});

test("whatever is lost, cut off or said meanwhile, all agree in the end", () => {
  forSeeds(10, (seed) => {
    const cluster = new Cluster(seed, 3 + (seed % 9), 0.2);
    const { gossip } = cluster;
    for (let round = 0; round < 12; round++) {
      if (round % 4 === 1) {
        const half = randomBelow(gossip.random, 2) + 2;
        gossip.partition((node) => Number(node.slice(1)) % half);
      }
      if (round % 4 === 3) gossip.partition(undefined);
      cluster.change();
      gossip.run(gossip.random.next() * 10_000);
    }
    gossip.partition(undefined);
    gossip.loss = 0.01;
    gossip.run(60_000);
    assert.deepEqual(cluster.differing(), []);
  });
});
