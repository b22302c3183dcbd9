/** A lab to play in: three hosts with Engine and daemon, until Ctrl-C. `make lab`. */
import { messageOf } from "../base/errors.ts";
import type { Host } from "./host.ts";
import { IMAGE_NAMES } from "./images.ts";
import { Lab } from "./lab.ts";
import { interruption, stayUp } from "./stay-up.ts";

const say = (line: string) => process.stdout.write(`${line}\n`);

const interrupted = interruption();
try {
  say("Starting three hosts, each with its own Docker Engine and its own Weft daemon …");
  await using lab = await Lab.create({ hosts: 3, clients: 1, images: IMAGE_NAMES });
  await Promise.all(lab.hosts.map((host) => host.startDaemon()));
  say(manual(lab));
  await stayUp(interrupted);
  say("\nTaking the lab away …");
} catch (error) {
  process.stderr.write(`lab: ${messageOf(error)}\n`);
  process.exitCode = 1;
}

/** What somebody in another terminal can type. */
function manual(lab: Lab): string {
  const [first] = lab.hosts;
  const hosts = lab.hosts.map((host) => `  ${host.name}  ${host.ip}  ${host.ipv6}`);
  const client = lab.client();
  return `
${hosts.join("\n")}
  ${client.name}  ${client.ip}  ${client.ipv6}  (a client outside the cluster)

From another terminal, as root:
  docker -H unix://${first?.weftSocket} swarm init --advertise-addr ${first?.ip}
  docker -H unix://${first?.engineSocket} ps          # the host's own Engine
${lab.hosts.map((host) => `  ${consoleOf(host)}            # a shell on ${host.name}`).join("\n")}
  ${consoleOf(client)} curl http://${first?.ip}:8080/

Images on every host: ${IMAGE_NAMES.join(", ")}. Logs: ${lab.runDir}/*/*.log
Ctrl-C takes everything away.`;
}

function consoleOf(machine: Pick<Host, "runDir">): string {
  return `sh ${machine.runDir}/enter`;
}
