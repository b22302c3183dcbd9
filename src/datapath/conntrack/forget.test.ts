import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { RunTool } from "../run.ts";
import { forgetConnections } from "./conntrack.ts";

const SAVED = `-A -t 29 -u SEEN_REPLY -s 1.1.1.1 -d 192.168.99.100 -g 10.255.0.9 -q 1.1.1.1 -p udp --sport 1000 --dport 53 --reply-port-src 53 --reply-port-dst 1000
-A -t 99 -u UNSET -s 1.1.1.9 -d 192.168.99.100 -r 192.168.99.100 -q 1.1.1.9 -p udp --sport 1000 --dport 53 --reply-port-src 53 --reply-port-dst 1000 -m 7

`;
const TUPLE =
  "-s 1.1.1.9 -d 192.168.99.100 -r 192.168.99.100 -q 1.1.1.9 -p udp --sport 1000 --dport 53 --reply-port-src 53 --reply-port-dst 1000";

/** A host whose `conntrack -L` prints `saved` for UDP and nothing else; records what is deleted. */
function host(saved = SAVED) {
  const seen = { runs: [] as string[], commands: "" };
  const run: RunTool = async (_, args, stdin = "") => {
    seen.runs.push(args[0] ?? "");
    if (args[0] === "-R") seen.commands = stdin;
    return { status: 0, stdout: args.includes("udp") ? saved : "", stderr: "" };
  };
  return { run, seen };
}

describe("forgetting connections", () => {
  it("deletes in one run what goes to a task that is gone, and what was led nowhere", async () => {
    const { run, seen } = host();
    await forgetConnections(run, [
      { kind: "udp-to", address: "10.255.0.9" },
      { kind: "half-open-to", address: "10.255.0.9" },
      { kind: "unled-udp", port: 53, family: 4 },
    ]);
    assert.deepEqual(seen.runs, ["-L", "-L", "-L", "-R"]);
    const expected = ["-D -p udp -g 10.255.0.9", `-D ${TUPLE}`, ""];
    assert.deepEqual(seen.commands.split("\n"), expected);
  });

  it("leaves flows alone that go to another task or another port", async () => {
    const { run, seen } = host();
    await forgetConnections(run, [
      { kind: "udp-to", address: "10.255.0.10" },
      { kind: "unled-udp", port: 54, family: 4 },
    ]);
    assert.deepEqual(seen.runs, ["-L"]);
  });

  it("lists once, however many tasks are gone", async () => {
    const { run, seen } = host();
    const gone = Array.from({ length: 1000 }, (_, index) => `10.1.${index >> 8}.${index & 255}`);
    await forgetConnections(
      run,
      gone.map((address) => ({ kind: "udp-to", address })),
    );
    assert.deepEqual(seen.runs, ["-L"]);
  });

  it("reads translations to IPv6 addresses, with a port and without", async () => {
    const lines = ["fd12::aff:9", "[fd12::aff:9]:5353", "fd12::aff:99"].map(
      (to) => `-A -t 9 -u SEEN_REPLY -s 2001:db8::1 -d 2001:db8::2 -g ${to} -q 2001:db8::1 -p udp`,
    );
    const { run, seen } = host(lines.join("\n"));
    await forgetConnections(run, [{ kind: "udp-to", address: "fd12::aff:9" }]);
    assert.deepEqual(seen.commands.trim().split("\n"), [
      "-D -f ipv6 -p udp -d 2001:db8::2 -r fd12::aff:9",
    ]);
  });

  it("looks again when a flow ended by itself meanwhile", async () => {
    const { run, seen } = host();
    let failures = 2;
    const racing: RunTool = async (tool, args) => {
      const result = await run(tool, args);
      const fails = args[0] === "-R" && failures-- > 0;
      return fails ? { ...result, status: 1, stderr: "such conntrack doesn't exist" } : result;
    };
    await forgetConnections(racing, [{ kind: "udp-to", address: "10.255.0.9" }]);
    assert.deepEqual(seen.runs, ["-L", "-R", "-L", "-R", "-L", "-R"]);
  });

  it("runs nothing when there is nothing to forget", async () => {
    const run: RunTool = () => assert.fail("ran a tool");
    await forgetConnections(run, []);
  });
});
