/** How `weft` answers whoever mistypes: one line, the way to the help, exit status 2, and nothing begun. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { test } from "node:test";

const MAIN = join(import.meta.dirname, "main.ts");

function weft(...words: readonly string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [MAIN, ...words], {
    encoding: "utf8",
    env: { ...process.env, NODE_NO_WARNINGS: "1" },
  });
  return { status, stdout, stderr };
}

test("help of a command is its own, by either way to ask for it", () => {
  const asked = weft("help", "version");
  assert.match(asked.stdout, /^Usage: weft version$/m);
  assert.deepEqual(asked, weft("version", "--help"));
});

const MISTYPED: readonly (readonly [words: readonly string[], said: string])[] = [
  [["help", "nosuch"], "weft: 'nosuch' is not a weft command\nSee 'weft help'\n"],
  [["version", "x"], "weft version: unexpected argument 'x'\nSee 'weft version --help'\n"],
  [
    ["daemon", "--host", "foo"],
    "weft daemon: invalid host \"foo\": expected unix:///absolute/path or tcp://address:port\nSee 'weft daemon --help'\n",
  ],
];
for (const [words, said] of MISTYPED) {
  test(`weft ${words.join(" ")}`, () => {
    assert.deepEqual(weft(...words), { status: 2, stdout: "", stderr: said });
  });
}
