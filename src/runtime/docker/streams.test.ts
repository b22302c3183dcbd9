import assert from "node:assert/strict";
import { it } from "node:test";
import fc from "fast-check";
import { jsonLines } from "./json-lines.ts";
import { demultiplex, terminalLines } from "./log-frames.ts";

/** The bytes as chunks, cut anywhere. */
async function* cut(bytes: Buffer, sizes: readonly number[]): AsyncIterable<Uint8Array> {
  let at = 0;
  for (const size of sizes) {
    if (at >= bytes.length) return;
    yield bytes.subarray(at, at + size);
    at += size;
  }
  if (at < bytes.length) yield bytes.subarray(at);
}

const sizes = fc.array(fc.integer({ min: 1, max: 9 }));

it("frames arrive whole however the bytes were cut", async () => {
  const frame = fc.record({
    stream: fc.constantFrom("stdout" as const, "stderr" as const),
    data: fc.uint8Array({ maxLength: 20 }),
  });
  await fc.assert(
    fc.asyncProperty(fc.array(frame), sizes, async (frames, cuts) => {
      const bytes = Buffer.concat(frames.map(encode));
      const read = await collect(demultiplex(cut(bytes, cuts)));
      const plain = read.map(({ stream, data }) => ({ stream, data: [...data] }));
      assert.deepEqual(
        plain,
        frames.map(({ stream, data }) => ({ stream, data: [...data] })),
      );
    }),
  );
});

it("a terminal's output is the same bytes, in lines", async () => {
  await fc.assert(
    fc.asyncProperty(fc.string({ unit: fc.constantFrom("a", "\n") }), sizes, async (text, cuts) => {
      const read = await collect(terminalLines(cut(Buffer.from(text), cuts)));
      const lines = read.map(({ data }) => Buffer.from(data).toString());
      assert.equal(lines.join(""), text);
      assert.ok(lines.slice(0, -1).every((line) => line.indexOf("\n") === line.length - 1));
    }),
  );
});

it("what is not framed is an error, not a wait for gigabytes", async () => {
  await assert.rejects(
    collect(demultiplex(cut(Buffer.from("hello, I am text"), []))),
    /not framed/,
  );
});

it("objects arrive whole however the bytes were cut, characters of many bytes too", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.string({ unit: "grapheme" }).map((text) => ({ text }))),
      sizes,
      async (objects, cuts) => {
        const bytes = Buffer.from(
          objects.map((object) => `${JSON.stringify(object)}\r\n`).join(""),
        );
        assert.deepEqual(await collect(jsonLines(cut(bytes, cuts))), objects);
      },
    ),
  );
});

function encode(frame: { readonly stream: "stdout" | "stderr"; readonly data: Uint8Array }) {
  const header = Buffer.alloc(8);
  header[0] = frame.stream === "stderr" ? 2 : 1;
  header.writeUInt32BE(frame.data.length, 4);
  return Buffer.concat([header, frame.data]);
}

async function collect<T>(values: AsyncIterable<T>): Promise<T[]> {
  const collected: T[] = [];
  for await (const value of values) collected.push(value);
  return collected;
}
