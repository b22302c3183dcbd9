import assert from "node:assert/strict";
import { test } from "node:test";
import { type Answer, decode, encode, type Packet, type Question } from "dns-packet";
import fc from "fast-check";
import { seededRandom } from "../../base/random.ts";
import { NameIndex } from "./name-index.ts";
import { Responder } from "./responder.ts";
import { QUERY_BYTES_MAX } from "./wire.ts";

const index = new NameIndex({ suffix: "net", subnets: ["10.0.1.0/24"] });
const many = Array.from({ length: 120 }, (_, at) => `10.0.1.${at + 1}`);
index.change({
  put: [
    { id: "web", entries: [{ names: ["web"], addresses: ["10.0.1.200"] }] },
    { id: "many", entries: [{ names: ["many"], addresses: many }] },
  ],
  remove: [],
});
const responder = new Responder({
  sight: () => ({ sets: [index], zone: false }),
  random: seededRandom(1),
});

interface Asked {
  readonly name?: string;
  readonly type?: string;
  readonly edns?: number;
  readonly questions?: readonly Question[];
}

function queryOf({ name = "web", type = "A", edns, questions }: Asked): Buffer {
  const option = { type: "OPT", name: ".", udpPayloadSize: edns } as Answer;
  return encode({
    type: "query",
    id: 4711,
    flags: 256,
    questions: [...(questions ?? [{ name, type, class: "IN" } as Question])],
    additionals: edns === undefined ? [] : [option],
  });
}

function answerTo(data: Buffer, transport: "udp" | "tcp" = "udp"): Packet & { bytes: number } {
  const answer = responder.respond(data, transport);
  assert.ok(Buffer.isBuffer(answer));
  return { ...decode(answer), bytes: answer.length };
}

const codeOf = ({ flags = 0 }: Packet) => flags & 0xf;

test("an answer has the query's id, question and wish for recursion, and says that it is final", () => {
  const answer = answerTo(queryOf({ name: "Web" }));
  assert.deepEqual([answer.id, answer.type, codeOf(answer)], [4711, "response", 0]);
  assert.deepEqual(answer.questions, [{ name: "Web", type: "A", class: "IN" }]);
  assert.equal((answer.flags ?? 0) & 0x0580, 0x0580);
  assert.deepEqual(answer.additionals, []);
  const [record] = answer.answers ?? [];
  assert.ok(record?.type === "A");
  assert.deepEqual([record.data, record.ttl], ["10.0.1.200", 1]);
});

test("what does not fit into a datagram is cut between records, said to be, and whole by TCP", () => {
  const sizes: [Asked, number, boolean][] = [
    [{ name: "many" }, 512, true],
    [{ name: "many", edns: 100 }, 512, true],
    [{ name: "many", edns: 1232 }, 1232, true],
    [{ name: "many", edns: 4096 }, 4096, false],
    [{ name: "many", edns: 65_000 }, 4096, false],
  ];
  for (const [asked, most, cut] of sizes) {
    const answer = answerTo(queryOf(asked));
    assert.ok(answer.bytes <= most, `${answer.bytes} of ${most}`);
    assert.equal(((answer.flags ?? 0) & 0x0200) !== 0, cut);
    assert.ok((answer.answers?.length ?? 0) >= 20, "as many as fit");
    assert.equal(
      answer.additionals?.some(({ type }) => type === "OPT"),
      asked.edns !== undefined,
    );
  }
  assert.equal(answerTo(queryOf({ name: "many" }), "tcp").answers?.length, 120);
});

test("what is no question of ours is answered as such, or not at all", () => {
  const web = { name: "web", type: "A", class: "IN" } as Question;
  assert.equal(codeOf(answerTo(queryOf({ questions: [] }))), 1);
  assert.equal(codeOf(answerTo(queryOf({ questions: [web, web] }))), 1);
  assert.equal(codeOf(answerTo(queryOf({ name: "else.where" }))), 5);
  assert.equal(codeOf(answerTo(queryOf({ type: "TXT" }))), 0);
  const chaos = { ...web, class: "CH" } as Question;
  assert.equal(codeOf(answerTo(queryOf({ questions: [chaos] }))), 5);
  const status = queryOf({});
  status.writeUInt8(0x10, 2);
  assert.equal(codeOf(answerTo(status)), 4);
  const answer = queryOf({});
  answer.writeUInt8(0x80, 2);
  for (const data of [answer, Buffer.alloc(11), Buffer.alloc(QUERY_BYTES_MAX + 1)]) {
    assert.equal(responder.respond(data, "udp"), undefined);
  }
});

test("a name that points at itself, forwards or out of the message is a malformed one", () => {
  const head = queryOf({}).subarray(0, 12);
  for (const name of [[0xc0, 12], [0xc0, 14], [0xff, 0xff], [3, 119, 101], [0x80, 0], [0xc0]]) {
    const answer = answerTo(Buffer.concat([head, Buffer.from([...name, 0, 1, 0, 1])]));
    assert.equal(codeOf(answer), 1, name.join(" "));
  }
  const binary = Buffer.concat([head, Buffer.from([2, 0xff, 0, 0, 0, 1, 0, 1])]);
  assert.equal(codeOf(answerTo(binary)), 1);
});

test("whatever bytes come, nothing is thrown and each answer can be read", () => {
  const valid = queryOf({ name: "many", edns: 1232 });
  const damaged = fc
    .tuple(fc.array(fc.tuple(fc.nat(valid.length - 1), fc.nat(255)), { maxLength: 6 }), fc.nat(64))
    .map(([changes, cut]) => {
      const data = Buffer.from(valid);
      for (const [at, byte] of changes) data[at] = byte;
      return data.subarray(0, Math.max(0, data.length - (cut > 40 ? cut - 40 : 0)));
    });
  const any = fc.uint8Array({ maxLength: 600 }).map((bytes) => Buffer.from(bytes));
  fc.assert(
    fc.property(
      fc.oneof(damaged, any),
      fc.constantFrom("udp" as const, "tcp" as const),
      (data, by) => {
        const answer = responder.respond(data, by);
        if (answer === undefined) return;
        assert.ok(Buffer.isBuffer(answer));
        assert.equal(decode(answer).id, data.readUInt16BE(0));
        if (by === "udp") assert.ok(answer.length <= 4096);
      },
    ),
    { numRuns: 3_000 },
  );
});
