/**
 * Promises 3 and 4 under load: clients on fresh and on kept connections, TCP streams and UDP questions, all
 * hosts asked at once, while operations are done to the cluster. `make soak` does the same for as long as wanted.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { SoakCluster } from "../soak/cluster.ts";
import { Loads } from "../soak/loads.ts";
import * as does from "../soak/operations.ts";
import { describeResult, totalsOf } from "../soak/report.ts";
import { runOne } from "../soak/run.ts";

const skip = (await labUnavailable()) ?? false;

const PLANNED = [
  does.together(
    does.force("web", "start-first"),
    does.force("dns", "stop-first"),
    does.force("echo", "stop-first"),
  ),
  does.together(does.force("web", "stop-first"), does.changeEnv("echo", 1, "start-first")),
  does.together(does.changeImage("start-first"), does.scale("dns", 1, 3)),
  does.rollbackEarly("stop-first"),
  does.failUpdate("web", "stop-first"),
  does.scale("web", 1, 12, 4),
  does.drainNode(2),
  does.drainNode(1),
  does.drainOnlyTask("web"),
  does.drainOnlyTask("echo"),
  does.upgradeDaemon(2),
  does.upgradeDaemon(1),
  does.killDaemon(3),
  does.killDaemon(1),
  does.rotateRoot(),
  does.rotateRootWithout(3),
];
/** Other tests run beside these on the same processors. */
const PACE = 2;
const NOTHING: does.Operation = { name: "nothing", planned: true, run: async () => {} };
const FAILURES = [does.killTask("web"), does.killTask("dns")];

describe("no request is lost", { skip }, () => {
  let cluster: SoakCluster;
  let loads: Loads;
  before(async () => {
    cluster = await SoakCluster.create();
    loads = await Loads.start(cluster, PACE);
  });
  after(async () => {
    await loads?.[Symbol.asyncDispose]();
    await cluster?.[Symbol.asyncDispose]();
  });

  for (const operation of PLANNED) {
    test(`by ${operation.name}`, async (context) => {
      const result = await runOne(cluster, loads, operation);
      const lines = describeResult(result);
      for (const line of lines) context.diagnostic(line);
      const { failed } = totalsOf([result]);
      assert.equal(failed, 0, lines.join("\n"));
    });
  }

  for (const operation of FAILURES) {
    test(`${operation.name}: once it is known, all is answered again`, async (context) => {
      const result = await runOne(cluster, loads, operation);
      for (const line of describeResult(result)) context.diagnostic(line);
      const afterwards = await runOne(cluster, loads, NOTHING);
      assert.equal(totalsOf([afterwards]).failed, 0, describeResult(afterwards).join("\n"));
    });
  }
});
