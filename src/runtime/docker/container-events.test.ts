import assert from "node:assert/strict";
import { it } from "node:test";
import { FakeClock } from "../../base/clock.ts";
import { UnavailableError } from "../../base/errors.ts";
import type { RuntimeEvent } from "../runtime.ts";
import { ContainerEvents } from "./container-events.ts";
import { FakeEngine } from "./fake-engine.ts";

const START_NANOSECONDS = 1_700_000_000_000_000_000n;
const line = (Action: string, nanoseconds: bigint) =>
  `{"Type":"container","Action":"${Action}","Actor":{"ID":"c1","Attributes":{"weft.task.id":"t1"}},"timeNano":${nanoseconds}}\n`;

it("hears changes of Weft's containers, and goes on at the last one when the Engine went away", async () => {
  await using engine = await FakeEngine.serve((_, response) => {
    response.write(line("start", START_NANOSECONDS + 1_000_000_512n));
    response.write(line("health_status: healthy", START_NANOSECONDS + 2_000_000_768n));
    response.end(line("exec_start", START_NANOSECONDS + 1n));
  });
  const events = new ContainerEvents(engine.client, new FakeClock());
  const heard: RuntimeEvent[] = [];
  for (let times = 0; times < 2; times += 1) {
    await assert.rejects(async () => {
      for await (const event of events.read(new AbortController().signal)) heard.push(event);
    }, UnavailableError);
  }
  assert.deepEqual(
    heard.slice(0, 2).map(({ kind }) => kind),
    ["start", "health"],
  );
  assert.equal(engine.asked[0]?.query.get("since"), "1699999999.999999744");
  // Not after the last event: its stamp may have been rounded up by as much.
  assert.equal(engine.asked[1]?.query.get("since"), "1700000002.000000512");
  assert.match(engine.asked[0]?.query.get("filters") ?? "", /"label":\["weft\.task\.id"\]/);
});
