import assert from "node:assert/strict";
import { test } from "node:test";
import { PARTS, parseOptions } from "./options.ts";

test("everything is measured unless told otherwise", () => {
  assert.deepEqual(parseOptions([]), {
    parts: PARTS,
    isQuick: false,
    format: "table",
    chart: undefined,
    help: false,
  });
});

test("parts are chosen one by one", () => {
  const { parts, isQuick, format } = parseOptions([
    "--only",
    "paths",
    "--only=control",
    "--quick",
    "--format",
    "json",
  ]);
  assert.deepEqual(
    { parts, isQuick, format },
    { parts: ["paths", "control"], isQuick: true, format: "json" },
  );
});

test("what is not understood is refused with what would be", () => {
  assert.throws(
    () => parseOptions(["--only", "all"]),
    /--only is one of paths, overlays, scale, networks, control, failures, lists, names, not all/,
  );
  assert.throws(() => parseOptions(["--format", "xml"]), /--format is table or json, not xml/);
  assert.throws(() => parseOptions(["--fast"]), /--fast/);
});
