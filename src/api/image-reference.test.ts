import assert from "node:assert/strict";
import { test } from "node:test";
import { isImageReference } from "./image-reference.ts";

const DIGEST = `sha256:${"a".repeat(64)}`;

for (const image of [
  "nginx",
  "nginx:1.27-alpine",
  "library/nginx",
  "registry:5000/a/b__c/d-e:tag",
  "localhost/x",
  "127.0.0.1:15000/bb:1",
  "[::1]:5000/x",
  "Registry.example/x",
  `nginx@${DIGEST}`,
  `nginx:1@${DIGEST}`,
  "a".repeat(63),
]) {
  test(`${image} names an image`, () => assert.ok(isImageReference(image)));
}

for (const image of [
  "",
  "UPPER CASE",
  "Upper",
  "a:",
  "a:b:c",
  ":tag",
  "a/",
  "/a",
  "a//b",
  "a@sha256:short",
  `a@${DIGEST}@${DIGEST}`,
  "-a",
  "a..b",
  "http://a/b",
  "a".repeat(64),
  "b".repeat(256),
]) {
  test(`${JSON.stringify(image)} names none`, () => assert.ok(!isImageReference(image)));
}

test("a long text that names none is seen at once", () => {
  assert.ok(!isImageReference(`${"a-".repeat(100)}a!`));
  assert.ok(!isImageReference(`${"a".repeat(200)}_`));
});
