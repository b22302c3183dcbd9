import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { routesDocument } from "./routes-document.ts";

test("docs/API.md says what the router does; 'npm run docs' writes it", () => {
  const page = readFileSync(new URL("../../docs/API.md", import.meta.url), "utf8");
  assert.equal(page, routesDocument());
});
