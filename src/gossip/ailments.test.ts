import assert from "node:assert/strict";
import { test } from "node:test";
import { Ailments } from "./ailments.ts";

const always = () => true;

test("three answers over TCP without a packet between them are a closed UDP port", () => {
  const ailments = new Ailments();
  ailments.noteStreamAnswer("10.0.0.2");
  ailments.noteStreamAnswer("10.0.0.2");
  ailments.notePacket("10.0.0.2");
  ailments.noteStreamAnswer("10.0.0.2");
  ailments.noteStreamAnswer("10.0.0.2");
  assert.deepEqual(ailments.list(0, always), []);
  ailments.noteStreamAnswer("10.0.0.2");
  assert.deepEqual(ailments.list(0, always), [{ kind: "udp", host: "10.0.0.2" }]);
  assert.deepEqual(
    ailments.list(0, () => false),
    [],
    "one that is dead has no open port at all",
  );
  ailments.notePacket("10.0.0.2");
  assert.deepEqual(ailments.list(0, always), []);
});

test("exchanges that fail with one that lives are a closed TCP port", () => {
  const ailments = new Ailments();
  ailments.noteExchange("10.0.0.2", false);
  assert.deepEqual(ailments.list(0, always), []);
  ailments.noteExchange("10.0.0.2", false);
  assert.deepEqual(ailments.list(0, always), [{ kind: "tcp", host: "10.0.0.2" }]);
  ailments.noteExchange("10.0.0.2", true);
  assert.deepEqual(ailments.list(0, always), []);
  for (const _ of [1, 2]) ailments.noteExchange("10.0.0.2", false);
  ailments.forget("10.0.0.2");
  assert.deepEqual(ailments.list(0, always), []);
  for (const _ of [1, 2]) ailments.noteExchange("10.0.0.2", false);
  ailments.noteStreamAnswer("10.0.0.2");
  assert.deepEqual(ailments.list(0, always), [], "a connection has passed");
});

test("packets that no key opens are another key, while they come", () => {
  const ailments = new Ailments();
  for (let at = 0; at < 5; at++) ailments.noteUnsealed("10.0.0.2", at * 100_000);
  const found = [{ kind: "key", host: "10.0.0.2", packets: 5 }];
  assert.deepEqual(ailments.list(400_000, always), found, "each member is tried but seldom");
  assert.deepEqual(
    ailments.list(400_000, () => false),
    found,
    "it is not heard, so it is held for dead",
  );
  assert.deepEqual(ailments.list(701_000, always), []);
  ailments.noteUnsealed("10.0.0.2", 702_000);
  assert.deepEqual(ailments.list(702_000, always), [], "a new row begins");
  for (let at = 0; at < 5; at++) ailments.noteUnsealed("10.0.0.2", 703_000);
  ailments.notePacket("10.0.0.2");
  assert.deepEqual(ailments.list(703_000, always), [], "it has the key by now");
});

test("two of one name are such after ten seconds of it; one that has moved is not", () => {
  const ailments = new Ailments();
  ailments.noteConflict("n2", "10.0.0.9", 0);
  ailments.noteConflict("n2", "10.0.0.9", 2_000);
  assert.deepEqual(ailments.list(2_000, always), []);
  ailments.noteConflict("n2", "10.0.0.9", 12_000);
  const found = [{ kind: "name", host: "10.0.0.9", node: "n2" }];
  assert.deepEqual(ailments.list(12_000, always), found);
  assert.deepEqual(ailments.list(73_000, always), []);
});

test("however many strangers send, memory is bounded", () => {
  const ailments = new Ailments();
  for (let host = 0; host < 5_000; host++) {
    for (let count = 0; count < 5; count++) ailments.noteUnsealed(`h${host}`, 0);
  }
  assert.ok(ailments.list(0, always).length <= 1_024);
});
