/** A host that took its default route by router advertisement keeps it, though the mesh makes it forward IPv6. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { until } from "../../src/lab/until.ts";
import { CLIENT, type Host, Lab, lan6, type Place, whyNot } from "./datapath/lab.ts";
import { Mesh } from "./datapath/mesh.ts";

const ROUTER = "192.168.99.1";
const TASKS = [{ name: "a1", host: "h1", address: "10.255.0.10" }] as const;
const PORT = 8080;
const LIFETIME_S = 1_800;

describe("a host with a router on its LAN", { skip: whyNot() }, () => {
  let lab: Lab;
  let mesh: Mesh;
  let router: Place;
  let host: Host;

  before(async () => {
    lab = await Lab.make();
    mesh = new Mesh(lab, TASKS);
    router = await lab.client("router", ROUTER);
    host = lab.host("h1");
    await mesh.startTasks();
    mesh.publish(PORT, ["a1"]);
  });
  after(async () => await lab[Symbol.asyncDispose]());

  it("keeps its default route when the mesh comes, and follows the router from then on", async () => {
    assert.deepEqual(await settings(), ["1", "0"]);
    await follows();
    const found = await defaultRoute();
    await mesh.apply();
    assert.deepEqual(await settings(), ["2", "1"]);
    assert.equal(await defaultRoute(), found);
    await follows();
    const client = await lab.client("client", CLIENT);
    const ask = { protocol: "tcp", address: lan6(host.address), port: PORT } as const;
    assert.equal(await client.ask(ask), `a1 ${lan6(CLIENT)}`);
    assert.deepEqual(await host.audit(), []);
  });

  it("has its settings back after a reset, also by a daemon that did not change them", async () => {
    await host.killDaemon();
    await mesh.apply();
    assert.deepEqual(await settings(), ["2", "1"]);
    await host.reset();
    assert.deepEqual(await settings(), ["1", "0"]);
    await follows();
  });

  /** The route goes and comes as the router says. Said again and again: a link needs a moment before it speaks and hears. */
  async function follows(): Promise<void> {
    for (const lifetimeS of [0, LIFETIME_S]) {
      const isFollowed = async () => {
        await router.call({ call: "advertise", lifetimeS });
        return ((await defaultRoute()) === "") === (lifetimeS === 0);
      };
      await until(isFollowed, { what: `a default route for ${lifetimeS} s`, intervalMs: 100 });
    }
  }

  /** By which router, without how long it is still good for. */
  async function defaultRoute(): Promise<string> {
    const shown = await host.run("ip", "-6", "route", "show", "default", "proto", "ra");
    return / via \S+ dev \S+/.exec(shown)?.[0] ?? "";
  }

  /** Whether the link takes advertisements (2: though the host forwards), and whether the host forwards. */
  async function settings(): Promise<string[]> {
    const names = ["eth0.accept_ra", "all.forwarding"].map((name) => `net.ipv6.conf.${name}`);
    return (await host.run("sysctl", "-n", ...names)).trim().split("\n");
  }
});
