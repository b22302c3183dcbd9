/** Types the steps at Weft in the lab: what the comparison and the documentation are made of. */
import { compatLab } from "./host.ts";
import { type Answer, playSteps } from "./transcript.ts";

export async function playOnWeft(): Promise<readonly Answer[]> {
  const { lab, host } = await compatLab();
  await using _ = lab;
  await host.startDaemon();
  return await playSteps((args, options) => host.docker(args, options), host.ip);
}
