import assert from "node:assert/strict";
import { test } from "node:test";
import { makeService } from "../cluster/factories.ts";
import type { ServiceSpec } from "../cluster/objects.ts";
import { validateServiceSpec } from "./service-spec.ts";

const { spec } = makeService({ id: "s1", name: "web" });
const MODES: readonly (readonly [mode: ServiceSpec["mode"], isTaken: boolean])[] = [
  [{ replicated: { replicas: 50_000 } }, true],
  [{ replicated: { replicas: 50_001 } }, false],
  [{ replicated: { replicas: 99_999_999_999 } }, false],
  [{ replicatedJob: { maxConcurrent: 1, totalCompletions: 99_999_999_999 } }, false],
  [{ replicatedJob: { maxConcurrent: 10, totalCompletions: 1_000 } }, true],
  [{ global: {} }, true],
];

for (const [mode, isTaken] of MODES) {
  test(`${JSON.stringify(mode)} is ${isTaken ? "taken" : "more tasks than a service has"}`, () => {
    const validate = () => validateServiceSpec({ ...spec, mode });
    if (isTaken) validate();
    else assert.throws(validate, /a service has 50000 at most/);
  });
}
