/** For the durability test: writes to the store in argv as fast as it can, and says on stdout what was acknowledged. */
import { writeSync } from "node:fs";
import { systemClock } from "../base/clock.ts";
import { createLogger } from "../base/logger.ts";
import { makeNode } from "./factories.ts";
import { openStore } from "./open-store.ts";

const dataDir = process.argv[2] ?? "";
const first = Number(process.argv[3]);
const store = await openStore({ dataDir, clock: systemClock, log: createLogger() });
for (let number = first; ; number += 4) {
  await Promise.all(
    [0, 1, 2, 3].map(async (offset) => {
      const id = `n${number + offset}`;
      await store.update((tx) => tx.put("node", makeNode({ id })));
      writeSync(1, `${id}\n`);
    }),
  );
}
