/** Types the steps at Weft in the lab: what the comparison and the documentation are made of. */
import { Lab } from "../../src/lab/lab.ts";
import { type Answer, playSteps } from "./transcript.ts";

export async function playOnWeft(): Promise<readonly Answer[]> {
  await using lab = await Lab.create({ hosts: 1, clients: 0, images: ["busybox"] });
  const host = lab.host(1);
  await host.startDaemon();
  return await playSteps((args, options) => host.docker(args, options), host.ip);
}
