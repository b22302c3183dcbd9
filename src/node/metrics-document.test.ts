import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { meshFamilies } from "../agent/endpoint-metrics.ts";
import { gossipFamilies } from "../agent/gossip-metrics.ts";
import { gossipReport } from "../agent/gossip-report.ts";
import { Meters } from "../base/meters.ts";
import { processFamilies } from "./process-metrics.ts";

/** Those that only a member or a manager has: made where the roles are. */
const OF_ROLES = [
  "weft_member",
  "weft_session_up",
  "weft_manager_sessions",
  "weft_store_revision",
  "weft_store_objects",
];

test("docs/METRICS.md names every family with its kind, and no other", () => {
  const page = readFileSync(new URL("../../docs/METRICS.md", import.meta.url), "utf8");
  const rows = page.matchAll(/^\| `(\w+)` +\| (\w+) /gm);
  const documented = new Map([...rows].map(([, name = "", kind = ""]) => [name, kind]));
  const nothing = { tasks: [], counters: new Map(), traffic: undefined, services: [] };
  const facts = { ...nothing, portProblems: 0, revision: 1 };
  const gossip = gossipFamilies(gossipReport(undefined, "", () => undefined, 0, 0));
  const mesh = meshFamilies(facts);
  const families = [...processFamilies(), ...new Meters().families(), ...mesh, ...gossip];
  const made = new Map(families.map(({ name, kind }) => [name, kind as string]));
  for (const name of OF_ROLES) made.set(name, "gauge");
  assert.deepEqual(Object.fromEntries(documented), Object.fromEntries(made));
});
