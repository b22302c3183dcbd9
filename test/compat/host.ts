/** The host that the steps are typed at, the same for Weft and for the Engine that was recorded. */
import type { Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";

/** With one host. Its busybox ends when it is told to: a shell's sleep takes no notice of SIGTERM, and each stop would take ten seconds. */
export async function compatLab(): Promise<{ readonly lab: Lab; readonly host: Host }> {
  const lab = await Lab.create({ hosts: 1, clients: 0, images: ["busybox"] });
  const host = lab.host(1);
  const stdin = "FROM busybox\nSTOPSIGNAL SIGKILL\n";
  await host.engineOk(["build", "--quiet", "--tag", "busybox", "-"], { stdin });
  return { lab, host };
}
