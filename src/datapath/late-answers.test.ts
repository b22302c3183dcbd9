import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Flow } from "./conntrack/listed-flows.ts";
import { LATE_FLOWS_MAX, lateAnswersTransaction } from "./late-answers.ts";

const CLIENT = { address: "192.168.99.200", port: 40_000 };
const flow = (init: Partial<Flow> = {}): Flow => ({
  client: CLIENT,
  server: { address: "192.168.99.100", port: 5353 },
  task: { address: "10.255.0.9", port: 53 },
  replyTo: CLIENT,
  ...init,
});

describe("late answers of flows that are moved", () => {
  it("get their server's port back, and then its address", () => {
    assert.equal(
      lateAnswersTransaction([flow()]),
      "add element inet weft late_port { 10.255.0.9 . 53 . 192.168.99.200 . 40000 : 5353 }\n" +
        "add element inet weft late_address { 10.255.0.9 . 5353 . 192.168.99.200 . 40000 : 192.168.99.100 }\n",
    );
  });

  it("are of either family, each in its own maps", () => {
    const client = { address: "2001:db8::c8", port: 40_000 };
    const six = {
      client,
      server: { address: "2001:db8::64", port: 5353 },
      task: { address: "fd12::aff:9", port: 53 },
      replyTo: client,
    };
    const lines = lateAnswersTransaction([six, flow()]).trim().split("\n");
    assert.deepEqual(
      lines.map((line) => line.split(" ")[4]),
      ["late_port", "late_address", "late_port6", "late_address6"],
    );
    assert.equal(
      lines[3],
      "add element inet weft late_address6 { fd12::aff:9 . 5353 . 2001:db8::c8 . 40000 : 2001:db8::64 }",
    );
  });

  it("are given up where the client is seen as the node itself", () => {
    const replyTo = { address: "10.255.0.2", port: CLIENT.port };
    assert.equal(lateAnswersTransaction([flow({ replyTo })]), "");
    assert.equal(lateAnswersTransaction([]), "");
  });

  it("are of so many flows, and no flow is named twice", () => {
    const flows = Array.from({ length: LATE_FLOWS_MAX + 5 }, (_, n) => {
      const client = { address: `10.9.${n >> 8}.${n & 255}`, port: 1 };
      return flow({ client, replyTo: client });
    });
    const text = lateAnswersTransaction([...flows.slice(0, 10), ...flows]);
    assert.equal(text.match(/ : 5353/g)?.length, LATE_FLOWS_MAX);
  });
});
