import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { Router } from "./router.ts";
import { API_ROUTES } from "./routes.ts";

const router = new Router([
  { method: "GET", path: "/nodes" },
  { method: "GET", path: "/nodes/:id" },
  { method: "POST", path: "/nodes/:id/update" },
]);

const cases: readonly [method: string, path: string, found: string | undefined, id?: string][] = [
  ["GET", "/nodes", "/nodes"],
  ["GET", "/nodes?filters=%7B%7D", "/nodes"],
  ["GET", "/%6eodes", "/nodes"],
  ["GET", "/nodes/n1", "/nodes/:id", "n1"],
  ["GET", "/nodes/n1?x=/a/b", "/nodes/:id", "n1"],
  ["GET", "/nodes/a%2Fb", "/nodes/:id", "a/b"],
  ["GET", "/nodes/%C3%A9", "/nodes/:id", "é"],
  ["GET", `/nodes/${"n".repeat(1_024)}`, "/nodes/:id", "n".repeat(1_024)],
  ["POST", "/nodes/n1/update", "/nodes/:id/update", "n1"],
  ["POST", "/nodes/n1", undefined],
  ["GET", "/nodes/", undefined],
  ["GET", "/nodes/n1/", undefined],
  ["GET", "/Nodes", undefined],
  ["GET", "nodes", undefined],
  ["GET", "/nodes/%zz", undefined],
  ["GET", `/nodes/${"n".repeat(1_025)}`, undefined],
  ["POST", "/nodes//update", undefined],
];

for (const [method, path, found, id] of cases) {
  test(`${method} ${path.slice(0, 40)} is ${found ?? "nobody's"}`, () => {
    const match = router.match(method, path);
    assert.equal(match?.route.path, found);
    assert.equal(match?.params["id"], id);
  });
}

test("every route of the table is found by a path made of it, with any names", () => {
  const all = new Router(API_ROUTES);
  const name = fc.string({ minLength: 1, maxLength: 100, unit: "grapheme" });
  fc.assert(
    fc.property(fc.constantFrom(...API_ROUTES), name, (route, id) => {
      const match = all.match(
        route.method,
        route.path.replace(":id", () => encodeURIComponent(id)),
      );
      assert.equal(match?.route, route);
      if (route.path.includes(":id")) assert.equal(match?.params["id"], id);
    }),
  );
});
