import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Turns } from "./turns.ts";

describe("turns", () => {
  it("are one at a time, and one that fails is over", async () => {
    const turns = new Turns();
    const order: string[] = [];
    const take = (name: string) =>
      turns.take(async () => {
        order.push(`${name} begins`);
        await Promise.resolve();
        order.push(`${name} ends`);
        if (name === "b") throw new Error("b fails");
      });
    const [a, b, c] = await Promise.allSettled(["a", "b", "c"].map(take));
    assert.deepEqual([a?.status, b?.status, c?.status], ["fulfilled", "rejected", "fulfilled"]);
    assert.deepEqual(
      order,
      ["a", "b", "c"].flatMap((name) => [`${name} begins`, `${name} ends`]),
    );
  });

  it("a change that comes while somebody looks does not wait for the look, which is made again", async () => {
    const turns = new Turns();
    let value = "old";
    const looking = Promise.withResolvers<void>();
    const mayEnd = Promise.withResolvers<void>();
    let looks = 0;
    const judged = turns.judge(
      async () => {
        const seen = value;
        looks++;
        looking.resolve();
        if (looks === 1) await mayEnd.promise;
        return seen;
      },
      async (seen) => seen,
    );
    await looking.promise;
    await turns.take(async () => {
      turns.noteChange();
      value = "new";
    });
    mayEnd.resolve();
    assert.equal(await judged, "new");
    assert.equal(looks, 2);
  });

  it("a turn that changes nothing leaves a look as it was", async () => {
    const turns = new Turns();
    let looks = 0;
    const judged = turns.judge(
      async () => ++looks,
      async (seen) => seen,
    );
    await turns.take(async () => {});
    assert.equal(await judged, 1);
  });

  it("under changes that never pause somebody who looks is heard all the same", async () => {
    const turns = new Turns();
    let looks = 0;
    let changes = 0;
    const change = () =>
      turns.take(async () => {
        turns.noteChange();
        changes++;
      });
    const judged = await turns.judge(
      async () => {
        looks++;
        void change();
        return changes;
      },
      async (seen) => ({ seen, now: changes }),
    );
    assert.equal(looks, 3);
    assert.equal(judged.seen, judged.now);
  });

  it("a judgement that fails fails for who asked, and the turns go on", async () => {
    const turns = new Turns();
    const failing = turns.judge(
      async () => 1,
      async () => Promise.reject(new Error("no")),
    );
    await assert.rejects(failing, /no/);
    assert.equal(await turns.take(async () => "on"), "on");
  });

  it("what is judged is always how things are", async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.integer({ min: 1, max: 6 }), async (s, changes) => {
        const turns = new Turns();
        let value = 0;
        const pause = s.scheduleFunction(async () => {});
        const all: Promise<unknown>[] = [];
        for (let change = 0; change < changes; change++) {
          const begin = pause();
          all.push(
            begin.then(() =>
              turns.take(async () => {
                turns.noteChange();
                await pause();
                value++;
              }),
            ),
          );
        }
        const look = async () => {
          const seen = value;
          await pause();
          return seen;
        };
        for (let audit = 0; audit < 2; audit++) {
          all.push(turns.judge(look, async (seen) => assert.equal(seen, value)));
        }
        await s.waitFor(Promise.all(all));
      }),
    );
  });
});
