import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import {
  formatJoinToken,
  isSameToken,
  newJoinToken,
  parseJoinToken,
  rootDigest,
} from "./join-token.ts";

test("a token carries the digest of the root certificate", () => {
  const token = newJoinToken("a root certificate");
  assert.match(token, /^SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}$/);
  assert.equal(parseJoinToken(token).digest, rootDigest("a root certificate"));
});

test("a token that a real Docker Engine 20.10 made is read as it reads it", () => {
  // The Engine said "remote CA does not match fingerprint. Expected: " and this digest.
  const token =
    "SWMTKN-1-3pu6hszjas19xyp7ghgosyx9k8atbfcr8p2is99znpy26u2lkl-1awxwuwd3z9j1z3puu7rcgdbx";
  const digest = "9529c6f3c5558ac3ec02b338a52d3c5434e0835a8af6f1e124649e87afaa2fb5";
  assert.deepEqual(parseJoinToken(token), { digest, secret: "1awxwuwd3z9j1z3puu7rcgdbx" });
});

test("format and parse are each other's inverse", () => {
  const hex = fc.uint8Array({ minLength: 32, maxLength: 32 });
  const secret = fc.stringMatching(/^[0-9a-z]{25}$/);
  fc.assert(
    fc.property(hex, secret, (bytes, secret) => {
      const token = { digest: Buffer.from(bytes).toString("hex"), secret };
      assert.deepEqual(parseJoinToken(formatJoinToken(token)), token);
    }),
  );
});

test("everything else is no token", () => {
  const good = newJoinToken("root");
  const [, , digest, secret] = good.split("-");
  const bad = [
    "",
    "bad",
    good.toUpperCase(),
    `SWMTKN-2-${digest}-${secret}`,
    `SWMTKN-1-${digest}`,
    `SWMTKN-1-${digest}-${secret}-`,
    `SWMTKN-1-${digest}0-${secret}`,
    // More than 32 bytes can hold.
    `SWMTKN-1-${"z".repeat(50)}-${secret}`,
  ];
  for (const text of bad)
    assert.throws(() => parseJoinToken(text), { message: "invalid join token" });
  fc.assert(
    fc.property(fc.string(), (text) => {
      assert.throws(() => parseJoinToken(text), { message: "invalid join token" });
    }),
  );
});

test("tokens are compared whole", () => {
  const token = newJoinToken("root");
  assert.ok(isSameToken(token, token));
  assert.ok(!isSameToken(token.slice(0, -1), token));
  assert.ok(!isSameToken("", token));
});
