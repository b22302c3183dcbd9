import assert from "node:assert/strict";
import { test } from "node:test";
import { cleanUpAtExit } from "./exit.ts";

test("a signal that somebody else listens for, once even, is left to them", (t) => {
  const cleanUp = t.mock.fn();
  const forget = cleanUpAtExit(cleanUp);
  const other = t.mock.fn();
  process.once("SIGHUP", other);
  process.emit("SIGHUP", "SIGHUP");
  assert.equal(other.mock.callCount(), 1);
  assert.equal(cleanUp.mock.callCount(), 0);
  forget();
  assert.equal(process.listenerCount("SIGHUP"), 0);
});
