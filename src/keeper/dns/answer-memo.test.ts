/** What is remembered is what would be said anyway, held against a responder that has never been asked anything. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { type Answer, decode, encode, type Packet, type Question } from "dns-packet";
import fc from "fast-check";
import { seededRandom } from "../../base/random.ts";
import { NameIndex } from "./name-index.ts";
import { Responder } from "./responder.ts";

const ADDRESSES = ["10.0.1.5", "10.0.1.6", "10.0.1.7", "fd00::5"];
const MANY = Array.from({ length: 120 }, (_, at) => `10.0.2.${at + 1}`);

function indexOf(web: readonly string[] = ADDRESSES): NameIndex {
  const index = new NameIndex({ suffix: "weft", subnets: [] });
  const ports = [80, 81].map((port) => ({ host: "web", port }));
  const entries = [
    { names: ["web"], addresses: web },
    { names: ["_80._tcp.web"], ports },
  ];
  const many = { id: "many", entries: [{ names: ["many"], addresses: MANY }] };
  index.change({ put: [{ id: "web", entries }, many], remove: [] });
  return index;
}

function responderOf(sets: () => readonly NameIndex[], answersMax?: number): Responder {
  const max = answersMax === undefined ? {} : { answersMax };
  return new Responder({
    ...{ sight: () => ({ sets: sets(), zone: true }), random: seededRandom(1) },
    ...max,
  });
}

interface Asked {
  readonly name: string;
  readonly type: string;
  readonly edns?: number | undefined;
}

function queryOf({ name, type, edns }: Asked): Buffer {
  const option = { type: "OPT", name: ".", udpPayloadSize: edns } as Answer;
  return encode({
    type: "query",
    questions: [{ name, type, class: "IN" } as Question],
    additionals: edns === undefined ? [] : [option],
  });
}

function wishing(data: Buffer, id: number, recursion: boolean): Buffer {
  const copy = Buffer.from(data);
  copy.writeUInt16BE(id, 0);
  if (recursion) copy[2] = (copy[2] ?? 0) | 1;
  return copy;
}

/** Apart from the order of the records, or of which there are when some are left out. */
function said(bytes: Buffer | undefined): unknown {
  if (bytes === undefined) return undefined;
  const { answers = [], ...rest } = decode(bytes);
  const isCut = ((rest.flags ?? 0) & 0x200) !== 0;
  const texts = answers.map((answer) => JSON.stringify(answer)).toSorted();
  return { ...rest, answers: isCut ? texts.length : texts };
}

function answerOf(responder: Responder, data: Buffer): Buffer | undefined {
  const answer = responder.respond(data, "udp");
  assert.ok(!(answer instanceof Promise));
  return answer;
}

test("whatever is asked, and asked again, is answered as if it were new", () => {
  const index = indexOf();
  const remembering = responderOf(() => [index]);
  const valid = fc.record({
    name: fc.constantFrom("web.weft", "WEB.weft", "many.weft", "_80._tcp.web.weft", "x.weft", "x"),
    type: fc.constantFrom("A", "AAAA", "SRV", "TXT", "ANY", "PTR"),
    edns: fc.constantFrom(undefined, 512, 1232, 4096),
  });
  const damaged = fc
    .tuple(valid, fc.array(fc.tuple(fc.nat(40), fc.nat(255)), { maxLength: 3 }))
    .map(([asked, changes]) => {
      const data = Buffer.from(queryOf(asked));
      for (const [at, byte] of changes) if (at < data.length) data[at] = byte;
      return data;
    });
  const wishes = fc.array(fc.tuple(fc.nat(0xffff), fc.boolean()), { minLength: 2, maxLength: 3 });
  fc.assert(
    fc.property(fc.oneof(valid.map(queryOf), damaged), wishes, (data, asks) => {
      for (const [id, recursion] of asks) {
        const query = wishing(data, id, recursion);
        const fresh = responderOf(() => [index]);
        assert.deepEqual(said(answerOf(remembering, query)), said(answerOf(fresh, query)));
      }
    }),
    { numRuns: 2_000 },
  );
});

test("a change of the names, or of what the asker may see, is heard at once", () => {
  const index = indexOf();
  let sets: readonly NameIndex[] = [index];
  const responder = responderOf(() => sets);
  const query = queryOf({ name: "web.weft", type: "A" });
  const addresses = () =>
    (decode(answerOf(responder, query) ?? Buffer.alloc(12)).answers ?? []).flatMap((answer) =>
      answer.type === "A" ? [answer.data] : [],
    );
  const twice = () => [addresses().toSorted(), addresses().toSorted()];
  const four = ADDRESSES.slice(0, 3);
  assert.deepEqual(twice(), [four, four]);
  index.change({ put: [], remove: ["web"] });
  assert.deepEqual(twice(), [[], []]);
  sets = [indexOf(["10.0.1.9"])];
  assert.deepEqual(twice(), [["10.0.1.9"], ["10.0.1.9"]]);
  sets = [];
  assert.deepEqual(twice(), [[], []]);
});

test("each order of the records is as likely as any other, and an answer on its way is not changed", () => {
  const index = indexOf(ADDRESSES.slice(0, 3));
  const responder = responderOf(() => [index]);
  const query = queryOf({ name: "web.weft", type: "A", edns: 1232 });
  const orders = new Map<string, number>();
  const asked = 6_000;
  let last: { bytes: Buffer; packet: Packet } | undefined;
  for (let at = 0; at < asked; at++) {
    const bytes = answerOf(responder, query);
    assert.ok(bytes);
    const packet = decode(bytes);
    if (last !== undefined) assert.deepEqual(decode(last.bytes), last.packet);
    last = { bytes, packet };
    const order = (packet.answers ?? []).map((answer) => (answer.type === "A" ? answer.data : ""));
    orders.set(order.join(), (orders.get(order.join()) ?? 0) + 1);
  }
  assert.equal(orders.size, 6);
  // Seven standard deviations.
  for (const count of orders.values()) assert.ok(Math.abs(count - asked / 6) < 200, `${count}`);
});

test("however many questions there are, no more are remembered than may be", () => {
  const index = indexOf();
  const responder = responderOf(() => [index], 2);
  for (let round = 0; round < 3; round++) {
    for (const type of ["A", "AAAA", "SRV", "TXT", "ANY"]) {
      const query = queryOf({ name: "web.weft", type });
      const fresh = responderOf(() => [index]);
      assert.deepEqual(said(answerOf(responder, query)), said(answerOf(fresh, query)));
    }
  }
});
