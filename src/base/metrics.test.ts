import assert from "node:assert/strict";
import { describe, it } from "node:test";
import * as fc from "fast-check";
import { Meters } from "./meters.ts";
import { counter, Duration, gauge, metricsPage } from "./metrics.ts";
import { parseMetrics } from "./parse-metrics.ts";

describe("a page of metrics", () => {
  it("is as Prometheus reads it", () => {
    const page = metricsPage([
      gauge("weft_things", "Things\nthere are.", [{ labels: { name: 'a "b"\\c\n' }, value: 2 }]),
      counter("weft_events_total", "Events.", 3),
    ]);
    assert.equal(
      page,
      "# HELP weft_things Things\\nthere are.\n" +
        "# TYPE weft_things gauge\n" +
        'weft_things{name="a \\"b\\"\\\\c\\n"} 2\n' +
        "# HELP weft_events_total Events.\n" +
        "# TYPE weft_events_total counter\n" +
        "weft_events_total 3\n",
    );
    assert.deepEqual([...parseMetrics(page).keys()], ["weft_things", "weft_events_total"]);
  });

  it("leaves out what has no series", () => {
    assert.equal(metricsPage([gauge("weft_gone", "Gone.", [])]), "");
  });

  it("can be read whatever labels say", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), fc.double({ noNaN: true }), (name, value) => {
        const page = metricsPage([gauge("weft_x", "X.", [{ labels: { name }, value }])]);
        const [read] = parseMetrics(page).get("weft_x")?.samples.values() ?? [];
        assert.equal(read, Object.is(value, -0) ? 0 : value);
      }),
    );
  });

  it("shows durations in buckets that hold what is not longer", () => {
    const duration = new Duration();
    for (const ms of [0.5, 1, 2, 999, 60_001]) duration.observe(ms);
    const page = metricsPage([duration.family("weft_work_duration_seconds", "Work.")]);
    const samples = parseMetrics(page).get("weft_work_duration_seconds")?.samples;
    const bucket = (le: string) => samples?.get(`weft_work_duration_seconds_bucket{le="${le}"}`);
    assert.deepEqual(["0.001", "0.0025", "0.5", "1", "60", "+Inf"].map(bucket), [2, 3, 3, 4, 4, 5]);
    assert.equal(samples?.get("weft_work_duration_seconds_sum")?.toFixed(4), "61.0035");
  });

  it("of all meters keeps to the conventions from the first moment", () => {
    const families = parseMetrics(metricsPage(new Meters().families()));
    assert.ok(families.has("weft_apply_duration_seconds"));
    for (const name of families.keys()) assert.match(name, /^weft_\w+_(seconds|total)$/);
  });

  for (const [what, page] of [
    ["a name without type", "weft_x 1\n"],
    ["a series twice", "# HELP weft_x X.\n# TYPE weft_x gauge\nweft_x 1\nweft_x 2\n"],
    ["a counter that is no total", "# HELP weft_x X.\n# TYPE weft_x counter\nweft_x 1\n"],
    ["a label without quotes", "# HELP weft_x X.\n# TYPE weft_x gauge\nweft_x{a=b} 1\n"],
  ] as const) {
    it(`is refused with ${what}, by what reads it here`, () => {
      assert.throws(() => parseMetrics(page));
    });
  }
});
