import assert from "node:assert/strict";
import { it } from "node:test";
import { formatImageReference, parseImageReference, pullTagOf } from "./image-reference.ts";

const DIGEST = `sha256:${"0".repeat(64)}`;
const ROWS = [
  ["nginx", "nginx", "latest", "nginx:latest"],
  ["nginx:1.25", "nginx", "1.25", "nginx:1.25"],
  ["lan:5000/team/web", "lan:5000/team/web", "latest", "lan:5000/team/web:latest"],
  ["lan:5000/team/web:2", "lan:5000/team/web", "2", "lan:5000/team/web:2"],
  [`nginx@${DIGEST}`, "nginx", DIGEST, `nginx@${DIGEST}`],
  [`nginx:latest@${DIGEST}`, "nginx", DIGEST, `nginx:latest@${DIGEST}`],
] as const;

for (const [text, name, pullTag, written] of ROWS) {
  it(`reads ${text}`, () => {
    const reference = parseImageReference(text);
    assert.equal(reference.name, name);
    assert.equal(pullTagOf(reference), pullTag);
    assert.equal(formatImageReference(reference), written);
  });
}
