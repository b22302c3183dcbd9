import assert from "node:assert/strict";
import { it } from "node:test";
import { merge } from "./merge.ts";

async function* says(...values: readonly string[]): AsyncIterable<string> {
  for (const value of values) yield value;
}

/** Says one value, then nothing more until it is told to end. */
class Quiet implements AsyncIterable<string> {
  readonly end = Promise.withResolvers<void>();
  async *[Symbol.asyncIterator](): AsyncIterator<string> {
    yield "quiet";
    await this.end.promise;
  }
}

async function collect(values: AsyncIterable<string>): Promise<string[]> {
  const collected: string[] = [];
  for await (const value of values) collected.push(value);
  return collected;
}

it("everything of every stream comes, each in its own order", async () => {
  const all = await collect(merge([says("a1", "a2", "a3"), says(), says("b1", "b2")]));
  assert.deepEqual([...all].sort(), ["a1", "a2", "a3", "b1", "b2"]);
  assert.deepEqual(
    all.filter((value) => value.startsWith("a")),
    ["a1", "a2", "a3"],
  );
});

it("a quiet stream does not hold up the others", async () => {
  const quiet = new Quiet();
  const heard: string[] = [];
  for await (const value of merge([quiet, says("x", "y", "z")])) {
    heard.push(value);
    if (heard.length === 4) quiet.end.resolve();
  }
  assert.deepEqual([...heard].sort(), ["quiet", "x", "y", "z"]);
});

it("a stream that fails fails the whole, and a reader may leave", async () => {
  const failing: AsyncIterable<string> = {
    [Symbol.asyncIterator]: () => ({ next: () => Promise.reject(new Error("broken")) }),
  };
  await assert.rejects(collect(merge([new Quiet(), failing])), /broken/);
  await assert.rejects(collect(merge([says("a", "b"), failing])), /broken/);
  for await (const value of merge([new Quiet(), says("a")])) if (value === "a") break;
});
