import assert from "node:assert/strict";
import { it } from "node:test";
import { messageOf } from "./errors.ts";
import { Reconciler, stopAll } from "./lifecycle.ts";

it("stops all though one fails, and tells of the first that did", async () => {
  const stopped: string[] = [];
  const stop = (name: string, error?: Error) => async () => {
    stopped.push(name);
    if (error !== undefined) throw error;
  };
  const stops = [
    stop("a"),
    stop("b", new Error("first")),
    stop("c", new Error("second")),
    stop("d"),
  ];
  await assert.rejects(stopAll(stops), { message: "first" });
  assert.deepEqual(stopped, ["a", "b", "c", "d"]);
  await stopAll([stop("e"), () => undefined]);
});

it("reports what fails alike once, and what fails otherwise, or again after it went well", async () => {
  const reported: string[] = [];
  let fault: string | undefined;
  const loop = new Reconciler({
    pass: async () => {
      if (fault !== undefined) throw new Error(fault);
    },
    onError: (error) => void reported.push(messageOf(error)),
  });
  for (fault of ["full", "full", "away", "away", undefined, "away"]) {
    loop.markDirty();
    await loop.idle();
  }
  assert.deepEqual(reported, ["full", "away", "away"]);
  await loop.stop();
});
