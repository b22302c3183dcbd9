import assert from "node:assert/strict";
import { test } from "node:test";
import { ConflictError, NotFoundError, SystemError, UnavailableError } from "./errors.ts";
import { errorOfStatus, statusOf } from "./http-status.ts";

test("a refusal that is answered by its status is the same class to who asked", () => {
  for (const error of [
    new NotFoundError("no"),
    new ConflictError("no"),
    new UnavailableError("no"),
  ]) {
    const heard = errorOfStatus(statusOf(error), error.message);
    assert.deepEqual([heard.constructor, heard.message], [error.constructor, "no"]);
  }
});

test("what is not ours is the server's fault, on either side", () => {
  assert.equal(statusOf(new TypeError("broken")), 500);
  for (const status of [0, 302, 418, 500]) {
    assert.ok(errorOfStatus(status, "what?") instanceof SystemError, `${status}`);
  }
});
