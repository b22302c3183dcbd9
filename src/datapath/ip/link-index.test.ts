import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { runTool } from "../run.ts";
import { linkIndexes, linkIndexesByTool } from "./link-index.ts";

describe("link indexes", () => {
  it("are those of the links that are there, in process and by ip alike", async () => {
    const names = ["lo", "no-such-link"];
    const asked = await linkIndexes(runTool, names);
    assert.deepEqual([...asked.keys()], ["lo"]);
    assert.deepEqual(await linkIndexesByTool(runTool, names), asked);
    assert.deepEqual(await linkIndexesByTool(runTool, []), new Map());
  });
});
