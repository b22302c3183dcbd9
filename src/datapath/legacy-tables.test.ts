import assert from "node:assert/strict";
import { it } from "node:test";
import type { FirewallTool } from "./engine-firewall.ts";
import { LegacyTables } from "./legacy-tables.ts";

it("notices when a table of either family is another, comes or goes, since it was noted", () => {
  const outlines: Partial<Record<FirewallTool, string>> = {};
  const tables = new LegacyTables((tool) => outlines[tool]);
  tables.note(tables.outlines());
  assert.equal(tables.haveChanged(), false, "a host without legacy iptables");
  for (const change of [
    () => (outlines.iptables = "9 rules"),
    () => (outlines.iptables = "4 rules"),
    () => (outlines.ip6tables = "4 rules"),
    () => delete outlines.iptables,
  ]) {
    change();
    assert.equal(tables.haveChanged(), true);
    tables.note(tables.outlines());
    assert.equal(tables.haveChanged(), false);
  }
  tables.distrust();
  assert.equal(tables.haveChanged(), true, "what Weft changed itself is looked at");
  tables.note(tables.outlines());
  assert.equal(tables.haveChanged(), false);
});
