import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { EndpointBook } from "./endpoint-book.ts";
import {
  decodeNews,
  ENDPOINT_WORDS,
  ENDPOINTS_MAX,
  type EndpointNews,
  encodeNews,
  mergeNews,
  NEWS_PROTOCOLS,
  type NewsTable,
  type SaidEndpoint,
} from "./endpoint-news.ts";
import { DecodeError, packFields } from "./msgpack.ts";
import { said } from "./testing.ts";

const endpoint: fc.Arbitrary<SaidEndpoint> = fc.record(
  {
    taskID: fc.constantFrom("t1", "t2", "t3"),
    word: fc.constantFrom(...ENDPOINT_WORDS),
    places: fc.array(
      fc.record(
        { vni: fc.nat(9_000), address: fc.constantFrom("10.0.9.7", "10.255.0.9", "fd00::1:9") },
        { noNullPrototype: true },
      ),
      { maxLength: 2 },
    ),
    ports: fc.array(
      fc.record(
        {
          protocol: fc.constantFrom(...NEWS_PROTOCOLS),
          publishedPort: fc.nat(65_535),
          targetPort: fc.nat(65_535),
        },
        { noNullPrototype: true },
      ),
      { maxLength: 2 },
    ),
    ipv6Ports: fc.subarray(["tcp/80", "udp/65535", "tcp/0"]),
  },
  { noNullPrototype: true },
);
const news: fc.Arbitrary<EndpointNews> = fc.record(
  {
    node: fc.constantFrom("n1", "n2", "n3"),
    epoch: fc.nat(2),
    version: fc.nat(3),
    endpoints: fc.array(endpoint, { maxLength: 3 }),
  },
  { noNullPrototype: true },
);
/** After all epochs in here. */
const NOW = 1_000;

const gone = (made: EndpointBook, node: string) =>
  made.saidBy(node).flatMap(({ word, taskID }) => (word === "gone" ? [taskID] : []));

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
  const bad: readonly [string, unknown][] = [
    ["no list", 7],
    ["too short", [Buffer.from("t1"), 0]],
    ["a word that nobody knows", [Buffer.from("t1"), 3, [], [], []]],
    ["an address of three bytes", [Buffer.from("t1"), 2, [[4_096, Buffer.alloc(3)]], [], []]],
    ["a network beyond 24 bits", [Buffer.from("t1"), 2, [[2 ** 24, Buffer.alloc(4)]], [], []]],
    ["a port that is none", [Buffer.from("t1"), 2, [], [[0, 65_536, 80]], []]],
    ["sctp", [Buffer.from("t1"), 2, [], [[2, 80, 80]], []]],
    ["an IPv6 port that is none", [Buffer.from("t1"), 2, [], [], [Buffer.from("tcp/65536")]]],
    ["too many places", [Buffer.from("t1"), 2, Array(17).fill([1, Buffer.alloc(4)]), [], []]],
    ["a task's ID that is a packet long", [Buffer.alloc(1_000), 0, [], [], []]],
  ];
  for (const [name, each] of bad) {
    const bytes = packFields({ Endpoints: [each as never], Epoch: 1, Node: "n1", Version: 1 });
    assert.throws(() => decodeNews(bytes), DecodeError, name);
  }
});

test("where there is not room for all, what is gone is said first", () => {
  const tasks = (kind: string) =>
    Array.from({ length: ENDPOINTS_MAX / 2 }, (_, index) => `${kind}${index}`);
  const long = book("a", 1);
  const other = book("b", 1);
  long.setOwn(said({ ready: tasks("r"), draining: tasks("d"), gone: tasks("g") }));
  other.learn(long.state(), NOW);
  const heard = other.saidBy("a");
  assert.equal(heard.length, ENDPOINTS_MAX);
  assert.equal(gone(other, "a").length, ENDPOINTS_MAX / 2);
  assert.ok(heard.every(({ word }) => word !== "ready"));
});

test("a word carries state, addresses, networks and ports, and comes out as it went in", () => {
  const ready: SaidEndpoint = {
    ...{ taskID: "t1", word: "ready" },
    places: [
      { vni: 4_096, address: "10.255.0.9" },
      { vni: 4_097, address: "fd00::9" },
    ],
    ports: [{ protocol: "udp", publishedPort: 32_001, targetPort: 53 }],
    ipv6Ports: ["udp/53"],
  };
  const [a, b] = [book("a", 5), book("b", 7)];
  b.learn(a.setOwn([ready]) ?? Buffer.alloc(0), NOW);
  assert.deepEqual(b.saidBy("a"), [ready]);
  assert.deepEqual(a.saidBy("a"), [ready]);
});

test("books that hear each other agree; nobody is told twice", () => {
  const [a, b] = [book("a", 5), book("b", 5)];
  const told = a.setOwn(said({ gone: ["t2", "t1"] }));
  assert.ok(told);
  assert.equal(a.setOwn(said({ gone: ["t1", "t2"] })), undefined, "the same again is no news");
  assert.equal(b.learn(told, NOW).length, 1);
  assert.deepEqual(b.learn(told, NOW), []);
  assert.deepEqual(gone(b, "a"), ["t1", "t2"]);
  a.setOwn([]);
  b.learn(a.state(), NOW);
  assert.deepEqual(gone(b, "a"), []);
  assert.deepEqual(b.learn(Buffer.from("of another program"), NOW), []);
});

test("a node whose clock went back outbids what it said before", () => {
  const [before, after, other] = [book("a", 900), book("a", 100), book("b", 1)];
  other.learn(before.setOwn(said({ gone: ["t1"] })) ?? Buffer.alloc(0), NOW);
  after.learn(other.state(), NOW);
  other.learn(after.state(), NOW);
  assert.deepEqual(gone(other, "a"), []);
});

test("a list that is too long for a packet waits for an exchange", () => {
  const long = book("a", 1);
  const many = Array.from({ length: 100 }, (_, index) => `task-${"0".repeat(18)}${index}`);
  assert.equal(long.setOwn(said({ gone: many })), undefined);
  const other = book("b", 1);
  other.learn(long.state(), NOW);
  assert.equal(gone(other, "a").length, 100);
});

test("a digest says how far one lags behind, and whether all else is the same", () => {
  const [a, b] = [book("a", 5), book("b", 7)];
  assert.deepEqual(b.compare("a", a.digest()), { lag: 0, agrees: true });
  const told = a.setOwn(said({ gone: ["t1"] }));
  a.setOwn(said({ gone: ["t1"], draining: ["t2"] }));
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
  const told = a.setOwn(said({ gone: ["t1"] })) ?? Buffer.alloc(0);
  b.setNodes(["b"]);
  assert.deepEqual(b.learn(told, NOW), []);
  b.setNodes(["a", "b"]);
  assert.equal(b.learn(told, NOW).length, 1);
  b.setNodes(["b"]);
  assert.deepEqual(gone(b, "a"), []);
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
        const told = books[who]?.setOwn(said({ gone: tasks, draining: tasks.slice(1) }));
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
    encodeNews({ node: "a", epoch, version: 9, endpoints: said({ gone: ["t1"] }) });
  b.learn(lie(2 ** 48), NOW);
  b.learn(lie(NOW + 4_000_000), NOW);
  assert.deepEqual(gone(b, "a"), []);
  b.learn(lie(NOW), NOW);
  assert.deepEqual(gone(b, "a"), ["t1"]);
  const [refutation] = a.learn(lie(NOW), NOW);
  b.learn(refutation?.payload ?? Buffer.alloc(0), NOW);
  assert.deepEqual(gone(b, "a"), []);
  assert.deepEqual(b.compare("a", a.digest()), { lag: 0, agrees: true });
});
