import assert from "node:assert/strict";
import { readdirSync } from "node:fs";
import { describe, it } from "node:test";
import { CannotRunError, runProgram } from "./program.ts";

const LONG_MS = 60_000;

const run = (program: string, args: readonly string[], input = "") =>
  runProgram(program, args, { input, deadlineMs: LONG_MS });

const shell = (script: string, input?: string) => run("/bin/sh", ["-c", script], input);

describe("a program", () => {
  it("reads its input, and says what it says by both ways, with its status", async () => {
    const ended = await shell("cat; echo amiss >&2; exit 3", "asked");
    assert.deepEqual(ended, { status: 3, stdout: "asked", stderr: "amiss\n" });
  });

  it("gets its arguments as they are", async () => {
    const { stdout } = await run("printf", ["%s|", "a b", "$(id)", "*", "ü"]);
    assert.equal(stdout, "a b|$(id)|*|ü|");
  });

  it("may read and say more than a pipe holds, or end before it has read anything", async () => {
    const long = "0123456789abcdef".repeat(64 * 1024);
    assert.equal((await run("cat", [], long)).stdout, long);
    assert.equal((await run("true", [], long)).status, 0);
  });

  it("opens its input by name too", async () => {
    assert.equal((await run("cat", ["/dev/stdin"], "asked")).stdout, "asked");
  });

  it("finds the environment of this process, and no signal ignored", async () => {
    process.env["WEFT_TEST_WORD"] = "told";
    const { stdout } = await shell("echo $WEFT_TEST_WORD; grep SigIgn /proc/self/status");
    assert.match(stdout, /^told\nSigIgn:\s0+$/m);
  });

  it("has no file of another one's that runs beside it", async () => {
    const [one, other] = await Promise.all([
      shell("ls -l /proc/$$/fd"),
      shell("ls -l /proc/$$/fd"),
    ]);
    for (const { stdout } of [one, other]) assert.equal(stdout.split("memfd:weft").length - 1, 3);
  });

  it("is one of many at once, each with its own end", async () => {
    const asked = Array.from({ length: 40 }, (_, index) => index);
    const ends = await Promise.all(asked.map((n) => shell(`echo ${n}; exit ${n}`)));
    assert.deepEqual(
      ends.map(({ status, stdout }) => [status, stdout]),
      asked.map((n) => [n, `${n}\n`]),
    );
  });

  it("leaves nothing open when it has ended", async () => {
    await run("true", []);
    const before = readdirSync("/proc/self/fd").length;
    await Promise.all([run("true", []), shell("exit 1"), run("/nowhere", []).catch(() => {})]);
    assert.equal(readdirSync("/proc/self/fd").length, before);
  });

  it("that is not there is an error with its cause", async () => {
    await assert.rejects(run("weft-no-such-program", []), (error) => {
      assert.ok(error instanceof CannotRunError);
      assert.equal(error.errorName, "ENOENT");
      assert.equal(error.message, "cannot run weft-no-such-program: no such file or directory");
      return true;
    });
  });

  it("that a signal ended is an error with the signal's name", async () => {
    await assert.rejects(shell("kill -TERM $$"), /^SystemError: \/bin\/sh was ended by SIGTERM$/);
  });

  it("is killed when its signal says so, and not begun after that", async () => {
    const ending = new AbortController();
    const running = runProgram("sleep", ["60"], { deadlineMs: 60_000, signal: ending.signal });
    ending.abort();
    await assert.rejects(running, /sleep was ended by SIGKILL/);
    const late = runProgram("sleep", ["60"], { deadlineMs: 60_000, signal: ending.signal });
    await assert.rejects(late, /abort/);
  });

  it("that hangs is killed", async () => {
    const hanging = runProgram("sleep", ["1000"], { deadlineMs: 20 });
    await assert.rejects(hanging, /sleep took longer than 20 ms and was ended/);
  });
});
