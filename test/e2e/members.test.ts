/** Who is let in to the mesh: hosts whose networks do not collide, members, and members only as long as they are. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import type { GossipAnswer, GossipMemberAnswer } from "../../src/api/gossip.ts";
import type { Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import type { Machine } from "../../src/lab/machine.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { Swarm, weft } from "./support/swarm.ts";

const PORT = 8080;
/** Many more than members send each other in that time. */
const STRANGE_PACKETS = 100;
/** A member that goes is shut out as soon as the managers know; a change of address takes as long as a lost session. */
const SHUT_OUT_MS = 15_000;
const FOLLOWED_MS = 40_000;

describe("who is a member", { skip: (await labUnavailable()) ?? false }, () => {
  let swarm: Swarm;
  let manager: Host;
  let worker: Host;

  before(async () => {
    swarm = new Swarm(await Lab.create({ hosts: 2, images: ["nginx"] }));
    [manager, worker] = [swarm.host(1), swarm.host(2)];
    await Promise.all(swarm.hosts.map((host) => host.startDaemon()));
  });
  after(async () => await swarm?.[Symbol.asyncDispose]());

  it("keeps clear of the first host's bridges, and refuses a host whose bridge collides", async () => {
    const bridge = (host: Host, subnet: string) =>
      host.engineOk(["network", "create", "--subnet", subnet, "mine"]);
    await bridge(manager, "10.255.0.0/16");
    await bridge(worker, "10.254.7.0/24");
    await swarm.docker("swarm", "init", "--advertise-addr", manager.ip);
    const format = "{{(index .IPAM.Config 0).Subnet}}";
    const subnet = await swarm.docker("network", "inspect", "--format", format, "ingress");
    assert.equal(subnet, "10.254.0.0/16");
    const token = await swarm.docker("swarm", "join-token", "-q", "worker");
    const join = ["swarm", "join", "--token", token, `${manager.ip}:2377`];
    const refused = await worker.docker(join);
    assert.equal(refused.code, 1);
    assert.match(
      refused.stderr,
      /route to 10\.254\.7\.0\/24, which overlaps with 10\.254\.0\.0\/16/,
    );
    await worker.engineOk(["network", "rm", "mine"]);
    const of6 = "{{(index .IPAM.Config 1).Subnet}}";
    const subnet6 = await swarm.docker("network", "inspect", "--format", of6, "ingress");
    const vpn = ["dev", "eth0", "metric", "4000"];
    await worker.execOk(["ip", "-6", "route", "add", subnet6, ...vpn]);
    const refused6 = await worker.docker(join);
    assert.ok(
      refused6.stderr.includes(`route to ${subnet6}, which overlaps with ${subnet6}`),
      refused6.stderr,
    );
    assert.equal(await swarm.readyNodes(), 1);
    await worker.execOk(["ip", "-6", "route", "del", subnet6, ...vpn]);
    await worker.dockerOk(join);
    await until(async () => (await swarm.readyNodes()) === 2, { what: "both nodes" });
    await swarm.create("web", "--mode", "global", "--publish", `${PORT}:80`, "nginx");
    await swarm.answering(PORT);
  });

  it("drops the tunnel's packets of a stranger, with a member's MAC and a task's address", async () => {
    const stranger = swarm.client();
    const routes = await manager.execOk(["ip", "-4", "route", "show", "proto", "147"]);
    const remote = /^(\S+) via (\S+) dev weft0/m.exec(routes);
    assert.ok(remote);
    const [, task = "", overlay = ""] = remote;
    const mac = await macOf(worker);
    for (const command of [
      `link add vx type vxlan id 4096 dstport 4789 local ${stranger.ip} remote ${worker.ip}`,
      `addr add ${overlay.replace(/\d+$/, "250")}/32 dev vx`,
      "link set vx up",
      `route add ${task} dev vx`,
      `neigh replace ${task} lladdr ${mac} dev vx`,
    ]) {
      await stranger.execOk(["ip", ...command.split(" ")]);
    }
    const before = await packetsOf(worker, "weft0", "in");
    const hello = `for time in {1..${STRANGE_PACKETS}}; do echo hello > /dev/udp/${task}/80; done`;
    await stranger.execOk(["bash", "-c", hello]);
    assert.ok(
      (await packetsOf(stranger, "vx", "out")) >= STRANGE_PACKETS,
      "the stranger sent them",
    );
    // Members look after their tunnels meanwhile, with a packet now and then.
    const arrived = (await packetsOf(worker, "weft0", "in")) - before;
    assert.ok(arrived < STRANGE_PACKETS / 2, `${arrived} packets arrived`);
    await stranger.execOk(["ip", "link", "del", "vx"]);
  });

  it("follows a member to another address", async () => {
    const moved = "192.168.99.151";
    // Else the kernel takes the second address away with the first.
    await worker.execOk(["sysctl", "-qw", "net.ipv4.conf.all.promote_secondaries=1"]);
    await worker.addAddress(`${moved}/24`);
    await worker.removeAddress(`${worker.ip}/24`);
    const isKnown = async () => {
      const peers = await peersOf(manager);
      return peers.includes(moved) && !peers.includes(worker.ip);
    };
    await until(isKnown, { what: "the member's new address", timeoutMs: FOLLOWED_MS });
    const isServed = async () => {
      const urls = Array.from({ length: 4 }, () => `http://${moved}:${PORT}/`);
      const { code } = await swarm.client().exec(["curl", "-fsS", "-m", "2", ...urls]);
      return code === 0;
    };
    await until(isServed, { what: "both tasks to answer at the new address" });
    await gossips("n2", `${moved}:7946`, "alive");
    await worker.addAddress(`${worker.ip}/24`);
    await worker.removeAddress(`${moved}/24`);
    const isBack = async () => (await peersOf(manager)).includes(worker.ip);
    await until(isBack, { what: "the member's first address", timeoutMs: FOLLOWED_MS });
    await swarm.answering(PORT);
  });

  it("shuts out a member that is removed, and one that leaves", async () => {
    const isMember = async () => (await peersOf(manager)).includes(worker.ip);
    assert.ok(await isMember());
    await worker.killDaemon("SIGKILL");
    await swarm.docker("node", "rm", "--force", "n2");
    await until(async () => !(await isMember()), {
      what: "the removed member to be shut out",
      timeoutMs: SHUT_OUT_MS,
    });
    await worker.startDaemon();
    const isOut = async () =>
      (await worker.dockerOk(["info", "--format", "{{.Swarm.LocalNodeState}}"])).trim() ===
      "inactive";
    await until(isOut, { what: "the removed member to know it", timeoutMs: FOLLOWED_MS });
    const token = await swarm.docker("swarm", "join-token", "-q", "worker");
    await worker.dockerOk(["swarm", "join", "--token", token, `${manager.ip}:2377`]);
    await until(isMember, { what: "the member to be back" });
    await until(async () => (await swarm.readyNodes()) === 2, { what: "both nodes again" });
    // Who has not been heard of yet is not heard to leave.
    await gossips("n2", `${worker.ip}:7946`, "alive");
    await worker.dockerOk(["swarm", "leave"]);
    await until(async () => !(await isMember()), {
      what: "the member that left to be shut out",
      timeoutMs: SHUT_OUT_MS,
    });
    await gossips("n2", `${worker.ip}:7946`, "left");
  });

  /** Waits until the manager's gossip has a member of this name there, in this state. */
  async function gossips(hostname: string, addr: string, state: string): Promise<void> {
    const isThere = ({ Hostname, Addr, State }: GossipMemberAnswer) =>
      Hostname === hostname && Addr === addr && State === state;
    await until(
      async () => {
        const { stdout } = await weft(manager, "gossip", "--format", "json");
        return (JSON.parse(stdout) as GossipAnswer).Members.some(isThere);
      },
      { what: `${hostname} to be ${state} at ${addr} in the gossip`, timeoutMs: FOLLOWED_MS },
    );
  }
});

function peersOf(host: Host): Promise<string> {
  return host.execOk(["nft", "list", "set", "inet", "weft", "peers"]);
}

async function macOf(host: Host): Promise<string> {
  const shown = await host.execOk(["ip", "-oneline", "link", "show", "weft0"]);
  return /link\/ether (\S+)/.exec(shown)?.[1] ?? "";
}

/** Packets that a link has counted so far. */
async function packetsOf(host: Machine, link: string, way: "in" | "out"): Promise<number> {
  const table = await host.execOk(["cat", "/proc/net/dev"]);
  const counters = new RegExp(`${link}:(.*)`).exec(table)?.[1]?.trim().split(/\s+/);
  return Number(counters?.[way === "in" ? 1 : 9]);
}
