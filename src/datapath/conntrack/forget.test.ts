import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { describe, it } from "node:test";
import type { RunTool } from "../run.ts";
import { forgetConnections } from "./conntrack.ts";
import { deletionsOfUnled } from "./forget.ts";

const SAVED = `-A -t 29 -u SEEN_REPLY -s 1.1.1.1 -d 192.168.99.100 -g 10.255.0.9 -q 1.1.1.1 -p udp --sport 1000 --dport 53 --reply-port-src 53 --reply-port-dst 1000
-A -t 99 -u UNSET -s 1.1.1.9 -d 192.168.99.100 -r 192.168.99.100 -q 1.1.1.9 -p udp --sport 1000 --dport 53 --reply-port-src 53 --reply-port-dst 1000 -m 7

`;
const TUPLE =
  "-s 1.1.1.9 -d 192.168.99.100 -r 192.168.99.100 -q 1.1.1.9 -p udp --sport 1000 --dport 53 --reply-port-src 53 --reply-port-dst 1000";

describe("forgetting connections", () => {
  it("leaves those alone that were led somewhere", () => {
    assert.deepEqual(
      deletionsOfUnled(SAVED).map((words) => words.join(" ")),
      [`-D ${TUPLE}`],
    );
  });

  it("is one run of conntrack for all of them", async () => {
    const runs: string[][] = [];
    let commands = "";
    const run: RunTool = async (_, args) => {
      runs.push([...args]);
      if (args[0] === "-R") commands = await readFile(args[1] ?? "", "utf8");
      return { status: 0, stdout: args[0] === "-L" ? SAVED : "", stderr: "" };
    };
    await forgetConnections(run, [
      { kind: "udp-to", address: "10.255.0.9" },
      { kind: "half-open-to", address: "10.255.0.9" },
      { kind: "unled-udp", port: 53 },
    ]);
    assert.deepEqual(
      runs.map((args) => args[0]),
      ["-L", "-R"],
    );
    assert.deepEqual(commands.split("\n"), [
      "-D -p udp -g 10.255.0.9",
      "-D -p tcp --state SYN_SENT -g 10.255.0.9",
      "-D -p tcp --state SYN_RECV -g 10.255.0.9",
      `-D ${TUPLE}`,
      "",
    ]);
  });

  it("runs nothing when there is nothing to forget", async () => {
    const run: RunTool = () => assert.fail("ran a tool");
    await forgetConnections(run, []);
  });
});
