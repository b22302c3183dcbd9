import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { UsageError } from "./command.ts";
import { describeOptions, type OptionTable, readOptions } from "./options.ts";

const table = {
  config: { kind: "string", env: "T_CONFIG", help: "config file", value: "FILE" },
  host: { kind: "strings", env: "T_HOST", help: "socket", default: ["unix:///a"] },
  "data-dir": { kind: "string", env: "T_DIR", help: "state", default: "/var/lib/t" },
  force: { kind: "boolean", help: "do it" },
} as const satisfies OptionTable;

function withConfig(text: string, use: (path: string) => void): void {
  const directory = mkdtempSync(join(tmpdir(), "weft-options-"));
  try {
    writeFileSync(join(directory, "config.json"), text);
    use(join(directory, "config.json"));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test("flags win over the environment, that over the file, that over the default", () => {
  withConfig(`{"data-dir":"/file","host":["unix:///file"],"force":true}`, (configFile) => {
    const all = readOptions(table, {
      words: ["--data-dir", "/flag"],
      env: { T_DIR: "/env" },
      configFile,
    });
    assert.equal(all["data-dir"], "/flag");
    assert.deepEqual(all.host, ["unix:///file"]);
    assert.equal(all.force, true);
    assert.equal(
      readOptions(table, { words: [], env: { T_DIR: "/env" }, configFile })["data-dir"],
      "/env",
    );
    assert.equal(readOptions(table, { words: [], env: {} })["data-dir"], "/var/lib/t");
  });
});

test("what is unknown or of the wrong kind is refused by name", () => {
  const refused = (words: string[], text: string, expected: RegExp) =>
    withConfig(text, (path) =>
      assert.throws(
        () => readOptions(table, { words, env: {}, configFile: path }),
        (error: Error) => error instanceof UsageError && expected.test(error.message),
      ),
    );
  refused(["--nope"], "{}", /Unknown option '--nope'/);
  refused(["stray"], "{}", /stray/);
  refused([], `{"nope":1}`, /unknown key "nope"/);
  refused([], `{"force":"yes"}`, /"force".*true or false/);
  refused([], `{"host":"unix:///x"}`, /"host".*list of strings/);
  refused([], `[`, /not JSON/);
  refused(["--config", "/nonexistent/x"], "{}", /cannot read the config file/);
});

test("the help text says value, default and variable of each", () => {
  const text = describeOptions(table);
  assert.match(text, /--data-dir VALUE +state \(default \/var\/lib\/t; T_DIR\)/);
  assert.match(text, /--force +do it$/m);
});
