import assert from "node:assert/strict";
import { test } from "node:test";
import { renderFailures } from "./table.ts";

test("medians beside the worst; where no host answers there is no figure, and why is told", () => {
  const round = (ms: number) => ({ noticedMs: ms, runningElsewhereMs: ms + 1_000 });
  const weft = [2_000, 2_200, 2_900].map((ms) => ({ ...round(ms), lastHarmedMs: ms, failed: 1 }));
  const text = renderFailures({
    clusters: [
      {
        ...{ kind: "Weft", notes: [] },
        rounds: { crash: weft, cut: [{ ...round(2_500), surplusGoneMs: 400 }] },
      },
      {
        ...{ kind: "Docker Swarm", notes: ["its mesh is not there"] },
        rounds: { crash: [round(11_000)], cut: [round(12_000)] },
      },
    ],
  });
  assert.match(text, /host crashed: noticed +≤ 3 s +2\.20 s \(2\.90 s\) +11\.00 s \(11\.00 s\)/);
  assert.match(text, /last connection harmed after +≤ 3 s +2\.20 s \(2\.90 s\) +–/);
  assert.match(text, /surplus tasks gone +400 ms \(400 ms\) +–/);
  assert.match(text, /\nDocker Swarm: its mesh is not there$/);
});
