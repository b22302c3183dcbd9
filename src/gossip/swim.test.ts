import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { seededRandom } from "../base/random.ts";
import type { Address } from "./address.ts";
import { MEMBERS_MAX } from "./membership.ts";
import { MEMBER_STATES, type MemberView, type Message, OUR_VERSIONS } from "./messages.ts";
import { RELAYS_MAX } from "./probe.ts";
import { step } from "./swim.ts";
import {
  initialState,
  nextDeadline,
  type SwimEffect,
  type SwimEvent,
  type SwimState,
} from "./swim-state.ts";
import { TIMINGS } from "./timings.ts";

const timings = TIMINGS.lan;
const addressOf = (node: string): Address => ({ host: `10.0.0.${node.slice(1)}`, port: 7946 });
const describe = (node: string, incarnation = 1, meta = "") => ({
  node,
  incarnation,
  address: addressOf(node),
  meta: Buffer.from(meta),
  versions: OUR_VERSIONS,
});
const alive = (node: string, incarnation = 1): Message => ({
  kind: "alive",
  ...describe(node, incarnation),
});

/** One member, n1, told what happens and asked what it does. */
class Member {
  readonly random = seededRandom(1);
  state: SwimState;
  now = 1_000;
  effects: SwimEffect[] = [];

  constructor(...others: string[]) {
    const init = { node: "n1", address: addressOf("n1"), timings };
    this.state = initialState(init, this.now, this.random);
    for (const node of others) this.hear(node, alive(node));
    this.effects = [];
  }
  step(event: SwimEvent): readonly SwimEffect[] {
    const result = step(this.state, event, this.now, this.random);
    this.state = result.state;
    this.effects.push(...result.effects);
    return result.effects;
  }
  hear(from: string, ...messages: Message[]) {
    return this.step({ kind: "packet", from: addressOf(from), messages });
  }
  /** Lets time pass, with a tick whenever one is wanted; `deaf` to nobody's answers: none come. */
  pass(forMs: number): void {
    const until = this.now + forMs;
    for (;;) {
      const at = nextDeadline(this.state, this.now);
      if (at > until) break;
      this.now = Math.max(this.now, at);
      this.step({ kind: "tick" });
    }
    this.now = until;
  }
  stateOf(node: string) {
    return this.state.members.get(node)?.state;
  }
  get incarnation() {
    return this.state.members.get("n1")?.incarnation;
  }
  sent<K extends Message["kind"]>(kind: K): Extract<Message, { kind: K }>[] {
    return this.effects
      .flatMap((effect) => (effect.kind === "packet" ? effect.messages : []))
      .filter((message): message is Extract<Message, { kind: K }> => message.kind === kind);
  }
  changes(): string[] {
    return this.effects.flatMap((effect) =>
      effect.kind === "change" ? [`${effect.member.node} ${effect.change}`] : [],
    );
  }
}

test("a ping is answered to whoever sent it; one for another is not", () => {
  const member = new Member();
  const [effect] = member.hear("n2", { kind: "ping", sequence: 7, node: "n1" });
  assert.deepEqual(effect?.kind === "packet" && effect.to, addressOf("n2"));
  assert.deepEqual(member.sent("ack"), [{ kind: "ack", sequence: 7 }]);
  assert.deepEqual(member.hear("n2", { kind: "ping", sequence: 8, node: "n9" }), []);
});

test("without an answer others are asked and TCP is tried, then the member is suspect, then dead", () => {
  const member = new Member("n2", "n3");
  member.hear("n3", { kind: "suspect", node: "n2", incarnation: 1, from: "n3" });
  assert.equal(member.stateOf("n2"), "suspect");
  member.pass(1_000);
  const ping = member.sent("ping").find(({ node }) => node === "n2");
  const request = member.sent("pingReq").find(({ node }) => node === "n2");
  assert.equal(request?.sequence, ping?.sequence);
  assert.ok(member.effects.some(({ kind }) => kind === "streamPing"));
  member.pass(600);
  assert.equal(member.stateOf("n2"), "dead");
  assert.ok(member.changes().includes("n2 failed"));
  assert.ok(member.sent("dead").some(({ node, from }) => node === "n2" && from === "n1"));
});

test("an answer by any way ends the probe", () => {
  const ways: ((member: Member, sequence: number) => void)[] = [
    (member, sequence) => member.hear("n2", { kind: "ack", sequence }),
    (member, sequence) => member.step({ kind: "streamAck", sequence }),
  ];
  for (const answer of ways) {
    const member = new Member("n2");
    member.pass(timings.probeIntervalMs);
    assert.ok(member.state.probe !== undefined);
    answer(member, member.state.probe.sequence);
    assert.equal(member.state.probe, undefined);
  }
});

test("helpers that don't even say nack raise the doubt in oneself, those that do don't", () => {
  const alone = new Member("n2", "n3", "n4");
  alone.pass(2 * timings.probeIntervalMs);
  assert.ok(alone.state.awareness > 0);
  const helped = new Member("n2", "n3", "n4");
  helped.pass(timings.probeIntervalMs + timings.probeTimeoutMs);
  const sequence = helped.state.probe?.sequence ?? 0;
  for (const helper of ["n3", "n4"]) helped.hear(helper, { kind: "nack", sequence });
  helped.pass(timings.probeIntervalMs - timings.probeTimeoutMs);
  assert.equal(helped.state.awareness, 0);
});

test("a probe for another is passed on: its ack back, else a nack, and late acks still", () => {
  const member = new Member("n2", "n3");
  const request = (sequence: number): Message => ({
    kind: "pingReq",
    sequence,
    node: "n3",
    target: addressOf("n3"),
    nack: true,
  });
  member.hear("n2", request(77));
  const ping = member.sent("ping").at(-1);
  assert.equal(ping?.node, "n3");
  member.pass(timings.probeTimeoutMs * 0.7);
  assert.deepEqual(member.sent("nack"), [{ kind: "nack", sequence: 77 }]);
  member.hear("n3", { kind: "ack", sequence: ping?.sequence ?? 0 });
  assert.deepEqual(member.sent("ack"), [{ kind: "ack", sequence: 77 }]);
  for (let sequence = 0; sequence < 2 * RELAYS_MAX; sequence++)
    member.hear("n2", request(sequence));
  assert.equal(member.state.relays.size, RELAYS_MAX);
});

test("an accusation of this node is refuted with a higher incarnation, first to who brought it", () => {
  for (const kind of ["suspect", "dead"] as const) {
    const member = new Member("n2", "n3");
    const effects = member.hear("n2", { kind, node: "n1", incarnation: 5, from: "n3" });
    assert.equal(member.incarnation, 6);
    const [first] = effects;
    assert.ok(first?.kind === "packet");
    assert.deepEqual(first.to, addressOf("n2"));
    assert.ok(first.messages.some((each) => each.kind === "alive" && each.incarnation === 6));
  }
});

test("an accusation that was refuted already is answered to its bringer alone", () => {
  const member = new Member("n2");
  member.hear("n2", { kind: "suspect", node: "n1", incarnation: 5, from: "n2" });
  const again = member.hear("n2", { kind: "suspect", node: "n1", incarnation: 5, from: "n2" });
  assert.equal(member.incarnation, 6);
  const [only, ...more] = again;
  assert.deepEqual(more, []);
  assert.ok(only?.kind === "packet");
  assert.deepEqual(only.to, addressOf("n2"));
});

test("who comes back finds itself dead or left in the others' state, and outbids it", () => {
  for (const state of ["dead", "left", "alive"] as const) {
    const member = new Member();
    const members: MemberView[] = [
      { ...describe("n1", 9), state },
      { ...describe("n2"), state: "alive" },
    ];
    member.step({ kind: "pushPull", from: addressOf("n2"), members });
    assert.equal(member.incarnation, 10, state);
    assert.equal(member.stateOf("n2"), "alive");
  }
});

test("a higher incarnation wins; at the same one, dead beats suspect beats alive", () => {
  const accuse = (kind: "suspect" | "dead", incarnation: number): Message => ({
    kind,
    node: "n2",
    incarnation,
    from: "n3",
  });
  const rows = [
    [[accuse("suspect", 1)], "suspect"],
    [[accuse("suspect", 1), alive("n2", 1)], "suspect"],
    [[accuse("suspect", 1), alive("n2", 2)], "alive"],
    [[alive("n2", 3), accuse("suspect", 2), accuse("dead", 2)], "alive"],
    [[accuse("dead", 1), accuse("suspect", 1), alive("n2", 1)], "dead"],
    [[accuse("dead", 4), alive("n2", 4)], "dead"],
    [[accuse("dead", 4), alive("n2", 5)], "alive"],
    [[{ ...accuse("dead", 1), from: "n2" } as Message], "left"],
    [[accuse("dead", 1), { ...accuse("dead", 1), from: "n2" } as Message], "left"],
  ] as const;
  for (const [messages, expected] of rows) {
    const member = new Member("n2", "n3", "n4");
    member.hear("n3", ...messages);
    assert.equal(member.stateOf("n2"), expected);
  }
});

test("somebody else's suspicion confirms ours and halves the time", () => {
  const member = new Member("n2", "n3", "n4", "n5");
  member.hear("n3", { kind: "suspect", node: "n2", incarnation: 1, from: "n3" });
  const suspicion = () => member.state.suspicions.get("n2");
  assert.equal(suspicion()?.wanted, 1);
  member.hear("n4", { kind: "suspect", node: "n2", incarnation: 1, from: "n3" });
  assert.deepEqual(suspicion()?.confirmations, []);
  member.hear("n4", { kind: "suspect", node: "n2", incarnation: 1, from: "n4" });
  assert.deepEqual(suspicion()?.confirmations, ["n4"]);
});

test("two of one name, or a member that moved: named, and not believed until the first is dead", () => {
  const member = new Member("n2");
  const elsewhere = { ...describe("n2", 2), address: addressOf("n9") };
  const [conflict] = member.hear("n9", { kind: "alive", ...elsewhere });
  assert.equal(conflict?.kind, "conflict");
  assert.deepEqual(member.state.members.get("n2")?.address, addressOf("n2"));
  member.hear("n3", { kind: "dead", node: "n2", incarnation: 1, from: "n3" });
  member.hear("n9", { kind: "alive", ...elsewhere });
  assert.deepEqual(member.state.members.get("n2")?.address, addressOf("n9"));
  const self = { ...describe("n1", 50), address: addressOf("n9") };
  assert.deepEqual(
    member.hear("n9", { kind: "alive", ...self }).map(({ kind }) => kind),
    ["conflict"],
  );
  assert.equal(member.incarnation, 1, "no bidding with a twin");
});

test("a leave is told, then over; alone at once", () => {
  assert.deepEqual(new Member().step({ kind: "leave" }).at(-1), { kind: "left" });
  const member = new Member("n2", "n3");
  member.step({ kind: "leave" });
  member.pass(timings.leaveTimeoutMs);
  assert.ok(member.sent("dead").some(({ node, from }) => node === "n1" && from === "n1"));
  assert.equal(member.state.phase, "left");
  assert.equal(member.effects.filter(({ kind }) => kind === "left").length, 1);
});

test("a node that slept gives what it waited for its time back, once", () => {
  const member = new Member("n2", "n3", "n4");
  member.pass(timings.probeIntervalMs);
  member.hear("n3", { kind: "suspect", node: "n2", incarnation: 1, from: "n3" });
  const { awareness } = member.state;
  member.now += 60_000;
  member.step({ kind: "tick" });
  member.step({ kind: "tick" });
  assert.equal(member.stateOf("n2"), "suspect");
  assert.equal(member.state.awareness, awareness + 1);
  member.hear("n2", alive("n2", 2));
  member.pass(0);
  assert.deepEqual(
    member.changes().filter((change) => change.endsWith("failed")),
    [],
  );
});

test("members are bounded", () => {
  const member = new Member();
  const members = Array.from({ length: MEMBERS_MAX + 5 }, (_, index) => ({
    ...describe(`m${index}`),
    address: addressOf("n2"),
    state: "alive" as const,
  }));
  // One exchange may bring more than a step should broadcast one by one.
  member.step({ kind: "pushPull", from: addressOf("n2"), members: members.slice(0, 50) });
  member.state = { ...member.state, queue: [] };
  const known = new Map(member.state.members);
  for (const each of members.slice(50, MEMBERS_MAX - 1))
    known.set(each.node, { ...each, changedAt: 0 });
  member.state = { ...member.state, members: known };
  const effects = member.step({
    kind: "pushPull",
    from: addressOf("n2"),
    members: members.slice(MEMBERS_MAX - 1),
  });
  assert.equal(member.state.members.size, MEMBERS_MAX);
  assert.equal(effects.filter(({ kind }) => kind === "refused").length, 6);
});

test("whatever others say, a step changes no state before it, and a member stays alive to itself", () => {
  const name = fc.constantFrom("n1", "n2", "n3", "n4");
  const incarnation = fc.constantFrom(0, 1, 2, 3, 0xffff_ffff);
  const view = fc.tuple(name, incarnation).map(([node, number]) => describe(node, number));
  const message: fc.Arbitrary<Message> = fc.oneof(
    view.map((each) => ({ kind: "alive" as const, ...each })),
    fc
      .tuple(fc.constantFrom("suspect" as const, "dead" as const), name, incarnation, name)
      .map(([kind, node, number, from]) => ({ kind, node, incarnation: number, from })),
    fc
      .tuple(fc.constantFrom("ack" as const, "nack" as const), fc.nat(5))
      .map(([kind, sequence]) => ({ kind, sequence })),
    fc
      .tuple(name, fc.nat(5))
      .map(([node, sequence]) => ({ kind: "ping" as const, node, sequence })),
  );
  const event: fc.Arbitrary<SwimEvent> = fc.oneof(
    fc.constant({ kind: "tick" as const }),
    fc
      .array(message, { maxLength: 5 })
      .map((messages) => ({ kind: "packet" as const, from: addressOf("n2"), messages })),
    fc.array(fc.tuple(view, fc.constantFrom(...MEMBER_STATES)), { maxLength: 5 }).map((views) => ({
      kind: "pushPull" as const,
      from: addressOf("n3"),
      members: views.map(([each, state]) => ({ ...each, state })),
    })),
  );
  fc.assert(
    fc.property(fc.array(fc.tuple(event, fc.nat(400)), { maxLength: 40 }), (events) => {
      const member = new Member();
      for (const [each, passed] of events) {
        const before = member.state;
        const copy = structuredClone(before);
        member.now += passed;
        member.step(each);
        assert.deepEqual(structuredClone(before), copy);
        assert.equal(member.stateOf("n1"), "alive");
        assert.equal(member.state.ring.length, member.state.members.size - 1);
        for (const [node, { state }] of member.state.members) {
          assert.equal(member.state.suspicions.has(node), state === "suspect");
        }
      }
    }),
    { numRuns: 150 },
  );
});
