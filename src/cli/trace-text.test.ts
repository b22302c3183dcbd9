import assert from "node:assert/strict";
import { test } from "node:test";
import { describeTrace } from "./trace-text.ts";

test("a line for each step, with what should be and what is doubtful", () => {
  const lines = describeTrace({
    ...{ Client: "192.168.99.200", Entry: "n1", Destination: "192.168.99.100" },
    ...{ Port: 8080, Protocol: "tcp", Notes: ["n1 holds port 8080/tcp"] },
    Ways: [
      {
        OneOf: 2,
        Hops: [
          {
            ...{ NodeID: "a", Hostname: "n1", Steps: ["led to 10.255.0.9:80"] },
            ...{ Wanted: ["led to 10.255.0.8:80"], Notes: ["its kernel is at revision 3 of 4"] },
          },
        ],
        End: { Kind: "task", Why: "task web.1 at 10.255.0.9:80 is asked by 192.168.99.200" },
      },
      { OneOf: 1, Hops: [], End: { Kind: "silent", Why: "n1 does not answer" } },
    ],
  });
  assert.deepEqual(lines, [
    "192.168.99.200 -> 192.168.99.100:8080/tcp (n1)",
    "  n1 holds port 8080/tcp",
    "",
    "one time in 2",
    "  n1: led to 10.255.0.9:80",
    "  n1 should do: led to 10.255.0.8:80",
    "  n1: note: its kernel is at revision 3 of 4",
    "  served: task web.1 at 10.255.0.9:80 is asked by 192.168.99.200",
    "",
    "in any case",
    "  silent: n1 does not answer",
  ]);
});
