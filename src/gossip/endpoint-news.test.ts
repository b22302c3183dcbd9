import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EndpointBook } from "./endpoint-book.ts";
import {
  decodeNews,
  type EndpointNews,
  encodeNews,
  mergeNews,
  type NewsTable,
  TASKS_MAX,
} from "./endpoint-news.ts";
import { DecodeError } from "./msgpack.ts";

const news: fc.Arbitrary<EndpointNews> = fc.record(
  {
    node: fc.constantFrom("n1", "n2", "n3"),
    epoch: fc.nat(2),
    version: fc.nat(3),
    gone: fc.array(fc.constantFrom("t1", "t2", "t3"), { maxLength: 3 }),
    draining: fc.array(fc.constantFrom("t1", "t2", "t3"), { maxLength: 3 }),
  },
  { noNullPrototype: true },
);
/** After all epochs in here. */
const NOW = 1_000;

function book(node: string, epoch: number): EndpointBook {
  const made = new EndpointBook(node, epoch);
  made.setNodes(["a", "b"]);
  return made;
}

const merged = (all: readonly EndpointNews[]) =>
  all.reduce<NewsTable>((table, each) => mergeNews(table, each), new Map());
const sorted = (table: NewsTable) => [...table].sort(([a], [b]) => (a < b ? -1 : 1));

test("order, repetition and grouping of news make no difference", () => {
  const shuffled = fc
    .array(news, { maxLength: 12 })
    .chain((all) =>
      fc.tuple(fc.constant(all), fc.shuffledSubarray([...all, ...all], { minLength: 0 })),
    );
  fc.assert(
    fc.property(shuffled, ([all, some]) => {
      assert.deepEqual(sorted(merged([...some, ...all])), sorted(merged(all)));
      assert.deepEqual(sorted(merged([...all, ...some])), sorted(merged(all.toReversed())));
    }),
  );
});

test("news survives the wire, and other bytes are a DecodeError", () => {
  fc.assert(
    fc.property(fc.array(news), (all) => {
      assert.deepEqual(decodeNews(Buffer.concat(all.map(encodeNews))), all);
    }),
  );
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      try {
        decodeNews(Buffer.from(bytes));
      } catch (error) {
        assert.ok(error instanceof DecodeError);
      }
    }),
  );
  const many = Array.from({ length: TASKS_MAX + 9 }, (_, index) => `t${index}`);
  const [cut] = decodeNews(
    encodeNews({ node: "n1", epoch: 1, version: 1, gone: many, draining: [] }),
  );
  assert.equal(cut?.gone.length, TASKS_MAX);
});

test("books that hear each other agree; nobody is told twice", () => {
  const [a, b] = [book("a", 5), book("b", 5)];
  const told = a.setOwn({ gone: ["t2", "t1"], draining: [] });
  assert.ok(told);
  assert.equal(
    a.setOwn({ gone: ["t1", "t2"], draining: [] }),
    undefined,
    "the same again is no news",
  );
  assert.equal(b.learn(told, NOW).length, 1);
  assert.deepEqual(b.learn(told, NOW), []);
  assert.deepEqual([...b.goneOf("a")], ["t1", "t2"]);
  a.setOwn({ gone: [], draining: [] });
  b.learn(a.state(), NOW);
  assert.deepEqual([...b.goneOf("a")], []);
  assert.deepEqual(b.learn(Buffer.from("of another program"), NOW), []);
});

test("a node whose clock went back outbids what it said before", () => {
  const [before, after, other] = [book("a", 900), book("a", 100), book("b", 1)];
  other.learn(before.setOwn({ gone: ["t1"], draining: [] }) ?? Buffer.alloc(0), NOW);
  after.learn(other.state(), NOW);
  other.learn(after.state(), NOW);
  assert.deepEqual([...other.goneOf("a")], []);
});

test("a list that is too long for a packet waits for an exchange", () => {
  const long = book("a", 1);
  const many = Array.from({ length: 100 }, (_, index) => `task-${"0".repeat(18)}${index}`);
  assert.equal(long.setOwn({ gone: many, draining: [] }), undefined);
  const other = book("b", 1);
  other.learn(long.state(), NOW);
  assert.equal(other.goneOf("a").length, 100);
});

test("a digest says how far one lags behind, and whether all else is the same", () => {
  const [a, b] = [book("a", 5), book("b", 7)];
  assert.deepEqual(b.compare("a", a.digest()), { lag: 0, agrees: true });
  const told = a.setOwn({ gone: ["t1"], draining: [] });
  a.setOwn({ gone: ["t1"], draining: ["t2"] });
  assert.deepEqual(b.compare("a", a.digest()), { lag: 2, agrees: false });
  b.learn(told ?? Buffer.alloc(0), NOW);
  assert.deepEqual(b.compare("a", a.digest()), { lag: 1, agrees: false });
  b.learn(a.state(), NOW);
  assert.deepEqual(b.compare("a", a.digest()), { lag: 0, agrees: true });
  assert.deepEqual(a.compare("b", b.digest()), { lag: 0, agrees: true });
  assert.equal(b.compare("a", Buffer.from([1, 2, 3])), undefined, "serf's coordinates are none");
});

test("nodes that managers do not know have no word, and lose the one that they had", () => {
  const [a, b] = [book("a", 5), book("b", 7)];
  const told = a.setOwn({ gone: ["t1"], draining: [] }) ?? Buffer.alloc(0);
  b.setNodes(["b"]);
  assert.deepEqual(b.learn(told, NOW), []);
  b.setNodes(["a", "b"]);
  assert.equal(b.learn(told, NOW).length, 1);
  b.setNodes(["b"]);
  assert.deepEqual(b.goneOf("a"), []);
});

test("books that exchange all they know agree in the end, whatever was lost on the way", () => {
  const step = fc.record({
    who: fc.nat(2),
    tasks: fc.subarray(["t1", "t2", "t3"]),
    lost: fc.subarray([0, 1, 2]),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 20 }), (steps) => {
      const names = ["a", "b", "c"];
      const books = names.map((name, index) => new EndpointBook(name, index));
      for (const each of books) each.setNodes(names);
      for (const { who, tasks, lost } of steps) {
        const told = books[who]?.setOwn({ gone: tasks, draining: tasks.slice(1) });
        if (told === undefined) continue;
        for (const [index, other] of books.entries()) {
          if (index !== who && !lost.includes(index)) other.learn(told, NOW);
        }
      }
      for (const one of books) for (const other of books) other.learn(one.state(), NOW);
      for (const [index, one] of books.entries()) {
        for (const other of books) {
          if (other === one) continue;
          const found = other.compare(names[index] ?? "", one.digest());
          assert.deepEqual(found, { lag: 0, agrees: true });
        }
      }
    }),
  );
});

test("a word in another's name is refuted by that other, and one from the far future is none", () => {
  const [a, b] = [book("a", 5), book("b", 7)];
  const lie = (epoch: number) =>
    encodeNews({ node: "a", epoch, version: 9, gone: ["t1"], draining: [] });
  b.learn(lie(2 ** 48), NOW);
  b.learn(lie(NOW + 4_000_000), NOW);
  assert.deepEqual(b.goneOf("a"), []);
  b.learn(lie(NOW), NOW);
  assert.deepEqual(b.goneOf("a"), ["t1"]);
  const [refutation] = a.learn(lie(NOW), NOW);
  b.learn(refutation?.payload ?? Buffer.alloc(0), NOW);
  assert.deepEqual(b.goneOf("a"), []);
  assert.deepEqual(b.compare("a", a.digest()), { lag: 0, agrees: true });
});
