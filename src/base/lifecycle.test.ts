import assert from "node:assert/strict";
import { it } from "node:test";
import { stopAll } from "./lifecycle.ts";

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
