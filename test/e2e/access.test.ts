/**
 * Who may reach a published port, and where: labels, as Docker's CLI carries them, and a node's own default. The hosts have
 * no default route, as on a network of their own: nothing of a cluster needs one.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { Lab } from "../../src/lab/lab.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { probe } from "./support/probing.ts";
import { Swarm, weft } from "./support/swarm.ts";

const OPEN = 8080;
const DIRECT = 8081;
const PLAIN = 8082;
/** So often may one thing be wrong while a cluster comes up and a daemon is restarted; a loop says it more often. */
const SAID_MAX = 12;

describe("a port with limits", { skip: (await labUnavailable()) ?? false }, () => {
  let swarm: Swarm;

  before(async () => {
    swarm = new Swarm(await Lab.create({ hosts: 2, clients: 2, images: ["nginx"] }));
    for (const host of swarm.hosts) {
      for (const family of ["-4", "-6"])
        await host.execOk(["ip", family, "route", "del", "default"]);
      await host.startDaemon();
    }
    await swarm.form();
    const making = swarm.create("plain", "--mode", "global", "--publish", `${PLAIN}:80`, "nginx");
    await swarm.create(
      ...["web", "--mode", "global", "--publish", `${OPEN}:80`],
      ...["--publish", `published=${DIRECT},target=80,mode=host`],
      ...["--label", `weft.publish.allow.${OPEN}=${swarm.client().ip},${swarm.client().ipv6}/128`],
      ...["--label", `weft.publish.allow.${DIRECT}=${swarm.client().ip}`, "nginx"],
    );
    await making;
    await swarm.answering(OPEN);
    await swarm.answering(PLAIN);
  });
  after(async () => await swarm?.[Symbol.asyncDispose]());

  it("is answered without a default route: to the LAN, the hosts, their containers and tasks", async () => {
    const client = swarm.client();
    for (const { ip } of swarm.hosts) assert.equal(await answer(client, ip, PLAIN), client.ip);
    for (const host of swarm.hosts) {
      await host.engineOk(["run", "--detach", "--name", "guest", "nginx"]);
      const [task] = (await swarm.running("plain")).filter((one) => one.host === host);
      assert.ok(task);
      const places = [host, await host.container("guest"), await host.container(task.containerID)];
      const addresses = swarm.hosts.map(({ ip }) => ip);
      for (const place of places) {
        const own = place === host ? ["127.0.0.1"] : [];
        const probes = [...addresses, ...own].map((address) => ({
          kind: "http" as const,
          address,
          port: PLAIN,
        }));
        const results = await probe(place, probes);
        assert.deepEqual([...new Set(results.map(({ error }) => error))], [undefined], place.name);
      }
      await host.engineOk(["rm", "--force", "guest"]);
    }
  });

  it("is answered for whom it is meant, and refused to others, by IPv6 too", async () => {
    const [friend, stranger] = [swarm.client(), swarm.lab.client(2)];
    for (const { ip, ipv6 } of swarm.hosts) {
      for (const port of [OPEN, DIRECT]) {
        assert.equal(await answer(friend, ip, port), friend.ip);
        assert.equal(await answer(stranger, ip, port), "ECONNREFUSED");
        assert.equal(await answer(stranger, ipv6, port), "ECONNREFUSED");
      }
      assert.equal(await answer(friend, ipv6, OPEN), friend.ipv6);
      assert.equal(await answer(friend, ipv6, DIRECT), "ECONNREFUSED");
    }
    const manager = swarm.host(1);
    assert.notEqual(await answer(manager, "127.0.0.1", OPEN), "ECONNREFUSED");
  });

  it("is answered at chosen addresses of IPv6 too, and to those who come from networks of it", async () => {
    const NARROW = 8083;
    const [host, other, client] = [swarm.host(1), swarm.host(2), swarm.client()];
    const limits = [
      `weft.publish.address.${NARROW}=${host.ipv6}`,
      `weft.publish.allow.${NARROW}=${client.ipv6}/64`,
    ];
    const labels = limits.flatMap((label) => ["--label", label]);
    await swarm.create("narrow", "--publish", `${NARROW}:80`, ...labels, "nginx");
    const isOpen = async () => (await answer(client, host.ipv6, NARROW)) === client.ipv6;
    await until(isOpen, { what: "the port to be answered at one IPv6 address" });
    assert.equal(await answer(client, other.ipv6, NARROW), "ECONNREFUSED");
    assert.equal(await answer(client, host.ip, NARROW), "ECONNREFUSED");
  });

  it("is answered at an interface's addresses, whichever it has, and nowhere on a host without it", async () => {
    const EDGE = 8084;
    const [host, other, client] = [swarm.host(1), swarm.host(2), swarm.client()];
    const [first, second, six] = ["192.168.99.160", "192.168.99.161", "fd00:77::1"];
    await host.execOk(["ip", "link", "add", "eth1", "type", "bridge"]);
    await host.execOk(["ip", "link", "set", "eth1", "up"]);
    await host.execOk(["ip", "addr", "add", `${first}/32`, "dev", "eth1"]);
    await host.execOk(["ip", "addr", "add", `${six}/128`, "dev", "eth1"]);
    const label = `weft.publish.address.${EDGE}=eth1`;
    await swarm.create("edge", "--publish", `${EDGE}:80`, "--label", label, "nginx");
    const becomes = (address: string, wanted: string) =>
      until(async () => (await answer(client, address, EDGE)) === wanted, {
        what: `${address}:${EDGE} to be ${wanted}`,
      });
    await becomes(first, client.ip);
    for (const { ip } of [host, other]) {
      assert.equal(await answer(client, ip, EDGE), "ECONNREFUSED");
    }
    const isServed6 = async () => (await answer(host, six, EDGE)) !== "ECONNREFUSED";
    await until(isServed6, { what: "the interface's IPv6 address to be answered" });
    const message = ["node", "inspect", "--format", "{{.Status.Message}}", "n2"];
    const isSaid = async () =>
      (await swarm.docker(...message)).includes(`port ${EDGE}/tcp: no interface eth1`);
    await until(isSaid, { what: "the other node to say that it has no such interface" });
    const { stdout } = await weft(swarm.manager, "mesh");
    assert.match(stdout, /^n2 does not answer port 8084\/tcp: no interface eth1$/m);
    await host.execOk(["ip", "addr", "add", `${second}/32`, "dev", "eth1"]);
    await host.execOk(["ip", "addr", "del", `${first}/32`, "dev", "eth1"]);
    await becomes(second, client.ip);
    await host.execOk(["ip", "link", "del", "eth1"]);
    const isGone = async () => (await answer(host, host.ip, EDGE)) === "ECONNREFUSED";
    await until(isGone, { what: "the port to be refused everywhere" });
  });

  it("follows its labels, without a task being replaced", async () => {
    const before = (await swarm.running("web")).map(({ id }) => id);
    const stranger = swarm.lab.client(2);
    const [host] = swarm.hosts;
    assert.ok(host);
    const address = `weft.publish.address.${OPEN}=${host.ip}`;
    const update = ["service", "update", "--detach", "--label-add"];
    await swarm.docker(...update, address, "--label-rm", `weft.publish.allow.${OPEN}`, "web");
    const isOpen = async () => (await answer(stranger, host.ip, OPEN)) === stranger.ip;
    await until(isOpen, { what: "the port to be open" });
    const other = swarm.host(2);
    await until(async () => (await answer(stranger, other.ip, OPEN)) === "ECONNREFUSED", {
      what: "the port to be answered at one address alone",
    });
    assert.deepEqual(
      (await swarm.running("web")).map(({ id }) => id),
      before,
    );
  });

  it("is refused when nobody could tell what is meant", async () => {
    const create = ["service", "create", "--label"];
    assert.match(
      await swarm.refused(...create, "weft.publish.allow.80=eth0", "nginx"),
      /label weft\.publish\.allow\.80: "eth0" is neither an address nor a network/,
    );
    assert.match(
      await swarm.refused(...create, "weft.publish.alow=10.0.0.0/8", "nginx"),
      /unknown label weft\.publish\.alow/,
    );
  });

  it("is answered at a node's own default addresses, where its service does not say", async () => {
    const [client, bound] = [swarm.client(), swarm.host(2)];
    const chosen = "192.168.99.150";
    await bound.execOk(["ip", "addr", "add", `${chosen}/24`, "dev", "eth0"]);
    await bound.stopDaemon();
    await bound.startDaemon({ flags: ["--publish-default-address", chosen] });
    const becomes = (address: string, wanted: string, from = client) =>
      until(async () => (await answer(from, address, PLAIN)) === wanted, {
        what: `${address}:${PLAIN} to be ${wanted}`,
      });
    await becomes(bound.ip, "ECONNREFUSED");
    await becomes("127.0.0.1", "ECONNREFUSED", bound);
    await becomes(chosen, client.ip);
    await becomes(swarm.host(1).ip, client.ip);
    const { stdout } = await weft(swarm.manager, "mesh");
    assert.match(stdout, /^n2 answers at its addresses in 192\.168\.99\.150 alone/m);
    const dig = ["dig", "+short", "-p", "9353", "@127.0.0.1", "plain.weft", "A"];
    const named = async () =>
      (await swarm.manager.exec(dig)).stdout.split("\n").toSorted().join(" ");
    const wanted = ["", swarm.manager.ip, chosen].toSorted().join(" ");
    await until(async () => (await named()) === wanted, { what: `${wanted} to be named` });
    const everywhere = `weft.publish.address.${PLAIN}=0.0.0.0/0`;
    await swarm.docker("service", "update", "--detach", "--label-add", everywhere, "plain");
    await becomes(bound.ip, client.ip);
  });

  it("is no reason to say the same again and again", () => {
    for (const host of swarm.hosts) {
      const said = host
        .daemonLog()
        .split("\n")
        .filter((line) => /level=(warn|error)/.test(line));
      const messages = Map.groupBy(said, (line) => /msg="[^"]*"/.exec(line)?.[0]);
      for (const [message, lines] of messages) {
        assert.ok(lines.length <= SAID_MAX, `${host.name} said ${message} ${lines.length} times`);
      }
    }
  });

  /** The client's address as the task saw it, or why there was no answer. */
  async function answer(
    from: Parameters<typeof probe>[0],
    address: string,
    port: number,
  ): Promise<string> {
    const [result] = await probe(from, [{ kind: "http", address, port }]);
    return result?.error ?? result?.client ?? "";
  }
});
