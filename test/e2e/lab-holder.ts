/** A process that makes a lab and prints its marks, to be killed: `node lab-holder.ts`. */
import { setTimeout as pause } from "node:timers/promises";
import { Lab } from "../../src/lab/lab.ts";
import { marksOf } from "./lab-traces.ts";

const lab = await Lab.create({ hosts: 1, clients: 1, images: ["busybox"] });
await lab.host(1).engineOk(["run", "-d", "busybox", "sleep", "1000"]);
process.stdout.write(`${JSON.stringify(marksOf(lab))}\n`);
await pause(60_000);
