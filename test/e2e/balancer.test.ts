/**
 * An external load balancer with the mesh, as the specification has it: HAProxy, with every node in its
 * list, tasks or not. When tasks move, its configuration does not change.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { unharmed } from "./support/load.ts";
import { Swarm } from "./support/swarm.ts";

const skip = (await labUnavailable()) ?? false;

const CONFIGURATION = `
defaults
   mode http
   timeout connect 5s
   timeout client 30s
   timeout server 30s
frontend http_front
   bind *:80
   stats uri /haproxy?stats
   default_backend http_back
backend http_back
   balance roundrobin
   server node1 192.168.99.100:8080 check inter 200ms
   server node2 192.168.99.101:8080 check inter 200ms
   server node3 192.168.99.102:8080 check inter 200ms
`;

test("HAProxy finds every node up, and loses nothing while tasks move", { skip }, async (t) => {
  await using swarm = await Swarm.create({ clients: 2 });
  await swarm.create("my-web", "--publish", "published=8080,target=80", "nginx");
  await swarm.answering(8080);
  const [balancer, client] = [swarm.lab.client(1), swarm.lab.client(2)];
  await balancer.execOk(["tee", "/run/haproxy.cfg"], { stdin: CONFIGURATION });
  await balancer.spawn(["haproxy", "-db", "-f", "/run/haproxy.cfg"]);
  /** Name, state, sessions so far and times it was seen to go down, of each server. */
  const servers = async () => {
    const csv = await balancer.execOk(["curl", "-s", "http://127.0.0.1/haproxy?stats;csv"]);
    const [head = "", ...lines] = csv.trim().split("\n");
    const column = (name: string) => head.replace(/^# /, "").split(",").indexOf(name);
    const [name, state, sessions, downs] = ["svname", "status", "stot", "chkdown"].map(column);
    return lines
      .filter((line) => /^http_back,node/.test(line))
      .map((line) => line.split(","))
      .map((at) => ({
        name: at[name ?? -1],
        state: at[state ?? -1],
        sessions: Number(at[sessions ?? -1]),
        downs: Number(at[downs ?? -1]),
      }));
  };
  const allUp = async () => (await servers()).filter(({ state }) => state === "UP").length === 3;
  await until(allUp, { what: "three servers to be up, two of them without a task" });

  const counts = await unharmed([client], [`http://${balancer.ip}/`], async () => {
    await swarm.docker("service", "scale", "--detach", "my-web=4");
    await swarm.converged("my-web");
    await swarm.docker("node", "update", "--availability", "drain", "n2");
    await until(
      async () => (await swarm.running("my-web")).every(({ host }) => host.name !== "n2"),
      { what: "n2 to be empty" },
    );
    await swarm.converged("my-web");
    await swarm.docker("node", "update", "--availability", "active", "n2");
    await swarm.docker("service", "scale", "--detach", "my-web=1");
    await swarm.converged("my-web");
  });
  t.diagnostic(`${counts.map(({ sent }) => sent).join(" + ")} requests`);
  for (const { name, state, sessions, downs } of await servers()) {
    assert.equal(state, "UP", name);
    assert.equal(downs, 0, `${name} was never down`);
    assert.ok(sessions > 100, `${name} had its share: ${sessions}`);
  }
  const tasks = counts.flatMap(({ answers }) => Object.keys(answers));
  assert.ok(new Set(tasks).size >= 4, "several tasks have answered");
});
