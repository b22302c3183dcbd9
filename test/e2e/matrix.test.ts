/**
 * The client matrix over IPv4 and IPv6: who asks, through which node and address, and where the task is. Every
 * combination is asked, over TCP and UDP, and the task's own account of who asked is checked.
 */
import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import type { Host } from "../../src/lab/host.ts";
import type { Place } from "../../src/lab/place.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { type Probe, type ProbeResult, probe } from "./support/probing.ts";
import { type RunningTask, Swarm } from "./support/swarm.ts";

const skip = (await labUnavailable()) ?? false;

/** Published ports: of services with their only task on this host, or with none at all. */
const WEB = { n1: 8001, n2: 8002, none: 8000 } as const;
const DNS = { n1: 5301, n2: 5302, none: 5300 } as const;
const SERVED = { n1: DNS.n1, n2: DNS.n2 } as const;
/** A SYN is sent again after one second and after three: a refusal by then answered the first two at the latest. */
const AT_ONCE_MS = 2_500;

interface Client extends Place {
  /** Addresses by which this client reaches the mesh. */
  readonly entries: readonly string[];
  /** Addresses that a task may see it with. */
  readonly seenAs: RegExp;
}

for (const underlay of ["IPv4", "IPv6"] as const)
  describe(`the client matrix, hosts on ${underlay}`, { skip }, () => {
    let swarm: Swarm;
    let tasks: Record<"n1" | "n2", RunningTask>;
    let lan: string[];
    let lan6: string[];

    before(async () => {
      swarm = await Swarm.create({ underlay, images: ["nginx", "busybox", "dns-cache"] });
      lan = swarm.hosts.map(({ ip }) => ip);
      lan6 = swarm.hosts.map(({ ipv6 }) => ipv6);
      const on = (host: string) => ["--constraint", `node.hostname==${host}`];
      const dns = (port: number) => ["-p", `${port}:53`, "-p", `${port}:53/udp`];
      const [[one], [two]] = await Promise.all([
        swarm.create("web-n1", "-p", `${WEB.n1}:80`, ...on("n1"), "nginx"),
        swarm.create("web-n2", "-p", `${WEB.n2}:80`, ...on("n2"), "nginx"),
        swarm.create("web-none", "-p", `${WEB.none}:80`, "--replicas", "0", "nginx"),
        swarm.create("dns-n1", ...dns(DNS.n1), ...on("n1"), "dns-cache"),
        swarm.create("dns-n2", ...dns(DNS.n2), ...on("n2"), "dns-cache"),
        swarm.create("dns-none", ...dns(DNS.none), "--replicas", "0", "dns-cache"),
      ]);
      tasks = { n1: one as RunningTask, n2: two as RunningTask };
      await swarm.answering(WEB.n1);
      await swarm.answering(WEB.n2);
      await swarm.refusing(WEB.none);
      const sleeper = ["run", "-d", "--name", "neighbour", "busybox", "sleep", "100000"];
      await Promise.all(swarm.hosts.map((host) => host.engineOk(sleeper)));
    });
    after(() => swarm?.[Symbol.asyncDispose]());

    /** A member may be masqueraded: then it is seen as its own, or the entry's, address in the mesh. */
    const MEMBER =
      /^(192\.168\.99\.10[012]|10\.255\.\d+\.\d+|172\.17\.\d+\.\d+|fd99::10[012]|fd[\da-f]{2}:[\da-f:]+)$/;

    const outside = (): Client => ({
      ...placeOf(swarm.client()),
      entries: [...lan, ...lan6],
      seenAs: exactly(swarm.client().ip, swarm.client().ipv6),
    });
    const host = (each: Host): Client => ({
      ...placeOf(each),
      entries: [...lan, ...lan6, "127.0.0.1", "::1", "172.17.0.1"],
      seenAs: MEMBER,
    });
    const container = async (each: Host): Promise<Client> => ({
      ...placeOf(await each.container("neighbour")),
      name: `a bridge container on ${each.name}`,
      entries: [...lan, "172.17.0.1"],
      seenAs: MEMBER,
    });
    const task = async (each: Host): Promise<Client> => ({
      ...placeOf(await each.container(tasks[each.name as "n1" | "n2"].containerID)),
      name: `the task on ${each.name}`,
      entries: [...lan, ...lan6],
      seenAs: MEMBER,
    });

    const clients: readonly (readonly [string, () => Client | Promise<Client>])[] = [
      ["a client outside", outside],
      ["n1, where a task is", () => host(swarm.host(1))],
      ["n2, where the other task is", () => host(swarm.host(2))],
      ["n3, where none is", () => host(swarm.host(3))],
      ["a bridge container on n1", () => container(swarm.host(1))],
      ["a bridge container on n2", () => container(swarm.host(2))],
      ["a bridge container on n3", () => container(swarm.host(3))],
      ["the task on n1 itself", () => task(swarm.host(1))],
      ["the task on n2 itself", () => task(swarm.host(2))],
    ];

    for (const [name, makeClient] of clients) {
      test(`${name} is answered over TCP through every node, and refused at once where none is`, async (t) => {
        const client = await makeClient();
        const probes = client.entries.flatMap((address) =>
          Object.values(WEB).map((port): Probe => ({ kind: "http", address, port })),
        );
        const results = await probe(client, probes);
        const wrong = results.flatMap((result) => {
          const { port } = result.probe;
          if (port === WEB.none) return isRefused(result) ? [] : [explain(result)];
          const { containerID } = port === WEB.n1 ? tasks.n1 : tasks.n2;
          const right =
            result.task === containerID.slice(0, 12) && client.seenAs.test(result.client);
          return right ? [] : [explain(result)];
        });
        const seen = new Set(
          results.map((result) => result.client).filter((seenAs) => seenAs !== ""),
        );
        t.diagnostic(`seen as ${[...seen].join(", ")}`);
        assert.deepEqual(wrong, []);
      });

      test(`${name} is answered over UDP through every node, and refused at once where none is`, async (t) => {
        const client = await makeClient();
        // The question names the client, the way in and the service: the servers' logs say who asked.
        const probes = client.entries.flatMap((address) =>
          Object.entries(SERVED).map(([where, port]): Probe => {
            const nonce = `${client.name}-${address}-${where}`.replaceAll(/[^a-z0-9]+/gi, "-");
            return { kind: "dns", address, port, name: `${nonce.toLowerCase()}.fixed.test` };
          }),
        );
        // The refusals are asked for alone: a kernel limits what it says by ICMP to one address, redirects
        // among it. Who heard nothing asks once more: by then the kernel may speak again.
        const unserved = client.entries.map(
          (address): Probe => ({ kind: "dns", address, port: DNS.none }),
        );
        const first = await probe(client, unserved);
        const isSilent = ({ error }: ProbeResult) => error === "ETIMEDOUT";
        const silent = first.filter(isSilent).map(({ probe: sent }) => sent);
        const again = silent.length > 0 ? await probe(client, silent) : [];
        const refusals = [...first.filter((result) => !isSilent(result)), ...again];
        const wrong = refusals.filter((result) => !isRefused(result)).map(explain);
        const results = await probe(client, probes);
        wrong.push(...results.filter(({ error }) => error !== undefined).map(explain));
        const answered = results.filter(({ error }) => error === undefined);
        const logs = await dnsLogs(answered.map(({ probe: sent }) => sent.name ?? ""));
        const seen = new Set<string>();
        for (const { probe: sent, error } of results) {
          if (error !== undefined) continue;
          const service = sent.port === DNS.n1 ? "dns-n1" : "dns-n2";
          const asker = askerOf(logs[service] ?? "", sent.name ?? "");
          seen.add(asker);
          if (!client.seenAs.test(asker))
            wrong.push(`${service} was asked ${sent.name} by ${asker}`);
        }
        t.diagnostic(`seen as ${[...seen].join(", ")}`);
        assert.deepEqual(wrong, []);
      });
    }

    test("one client port through two nodes to one task at once", async () => {
      for (const [kind, port] of [
        ["http", WEB.n2],
        ["dns-tcp", DNS.n2],
        ["dns", DNS.n2],
      ] as const) {
        for (const entries of [
          [0, 2],
          [0, 1],
          [1, 2],
        ]) {
          for (const addresses of [lan, lan6]) {
            const probes = entries.map(
              (index): Probe => ({
                kind,
                address: addresses[index] ?? "",
                port,
                localPort: 40_001,
              }),
            );
            const results = await probe(swarm.client(), probes);
            assert.deepEqual(results.filter(({ error }) => error !== undefined).map(explain), []);
          }
        }
      }
    });

    test("the tunnel's ends are of the hosts' family, and it leaves room for their headers", async () => {
      const [{ mtu, linkinfo }] = JSON.parse(
        await swarm.manager.execOk(["ip", "-json", "-details", "link", "show", "weft0"]),
      );
      const { local, local6 } = linkinfo.info_data;
      const { ip, ipv6 } = swarm.manager;
      const expected = underlay === "IPv4" ? [ip, 1500 - 50] : [ipv6, 1500 - 70];
      assert.deepEqual([local ?? local6, mtu], expected);
      const eth0 = ["cat", "/proc/sys/net/ipv6/conf/eth0/mtu"];
      const container = await swarm.host(1).container(tasks.n1.containerID);
      assert.equal((await container.exec(eth0)).stdout.trim(), `${mtu}`);
    });

    if (underlay === "IPv6")
      test("tasks of a user's network reach each other by name, from every host, and with full-size packets", async () => {
        await swarm.docker("network", "create", "--driver", "overlay", "--ipv6", "app");
        const inApp = (name: string, ...rest: readonly string[]) =>
          swarm.create(name, "--network", "app", "--mode", "global", ...rest);
        const [back, askers] = await Promise.all([
          inApp("back", "nginx"),
          inApp("asker", "busybox", "sleep", "100000"),
        ]);
        const addresses = (await Promise.all(back.map(({ id }) => addressesOf(id)))).flat();
        assert.equal(addresses.length, 6, "one of each family on each host");
        for (const { host, containerID } of askers) {
          for (const name of ["back", "tasks.back"]) {
            const ask = ["exec", containerID, "wget", "-q", "-O", "-", `http://${name}/`];
            const isServed = async () => /^task /m.test((await host.engine(ask)).stdout);
            await until(isServed, { what: `${name} to answer a task on ${host.name}` });
          }
          const asker = await host.container(containerID);
          const mtu = Number(
            (await asker.exec(["cat", "/proc/sys/net/ipv6/conf/eth0/mtu"])).stdout,
          );
          assert.equal(mtu, 1500 - 70);
          for (const address of addresses) {
            const room = mtu - (address.includes(":") ? 48 : 28);
            const full = ["ping", "-c", "1", "-W", "5", "-M", "do", "-s", `${room}`, address];
            const pinged = await asker.exec(full);
            assert.equal(pinged.code, 0, `${host.name} to ${address}: ${pinged.stdout}`);
          }
        }
      });

    // What follows has nothing to do with how the hosts reach each other.
    if (underlay === "IPv6") return;

    test("a task that listens on IPv4 alone is reached by IPv6 clients, and its status says how", async () => {
      const server = [
        "--keep-in-foreground",
        "--user=root",
        "--pid-file=",
        "--no-resolv",
        "--no-hosts",
      ];
      const ipv4 = [
        "--listen-address=0.0.0.0",
        "--bind-interfaces",
        "--address=/fixed.test/192.0.2.53",
      ];
      const [running] = await swarm.create(
        ...["ipv4-only", "-p", "5400:53", "--entrypoint", "/usr/sbin/dnsmasq", "dns-cache"],
        ...[...server, ...ipv4],
      );
      for (const address of [...lan, ...lan6]) {
        const look = async () => {
          const [answer] = await probe(swarm.client(), [{ kind: "dns-tcp", address, port: 5400 }]);
          return answer?.error === undefined;
        };
        await until(look, { what: `${address} to answer` });
      }
      const message = async () => {
        const argv = ["inspect", "--format", "{{.Status.Message}}", running?.id ?? ""];
        return await swarm.host(1).dockerOk(argv);
      };
      await until(async () => (await message()).includes("relayed"), {
        what: "the status to say so",
      });
      await swarm.remove("ipv4-only");
    });

    test("an address that a node is given later answers too", async () => {
      const address = "192.168.99.150";
      const n3 = swarm.host(3);
      await n3.addAddress(`${address}/24`);
      for (const client of [swarm.client(), swarm.host(1), n3]) {
        const probes = [WEB.n1, WEB.n2].map((port): Probe => ({ kind: "http", address, port }));
        const look = async () => (await probe(client, probes)).every(({ error }) => !error);
        await until(look, { what: `${address} to answer ${client.name}` });
      }
      const [refused] = await probe(swarm.client(), [{ kind: "http", address, port: WEB.none }]);
      assert.equal(refused?.error, "ECONNREFUSED");
      await n3.removeAddress(`${address}/24`);
    });

    test("300 connections are spread over all tasks, through any one node", async (t) => {
      const spread = await swarm.create("spread", "-p", "8100:80", "--replicas", "6", "nginx");
      await swarm.answering(8100);
      const ids = spread.map(({ containerID }) => containerID.slice(0, 12));
      for (const { ip, name } of swarm.hosts) {
        const probes = Array.from({ length: 300 }, (): Probe => {
          return { kind: "http", address: ip, port: 8100 };
        });
        const results = await probe(swarm.client(), probes);
        const shares = ids.map((id) => results.filter((result) => result.task === id).length);
        t.diagnostic(`through ${name}: ${shares.join(" ")}`);
        assert.equal(sum(shares), 300);
        // Chi squared with 5 degrees of freedom is above 35 once in a million runs.
        const expected = 300 / ids.length;
        const chiSquared = sum(shares.map((share) => (share - expected) ** 2 / expected));
        assert.ok(chiSquared < 35, `shares through ${name}: ${shares.join(" ")}`);
      }
      await swarm.remove("spread");
    });

    /** A task's addresses in its only network of a user's, without prefix lengths. */
    async function addressesOf(taskID: string): Promise<readonly string[]> {
      const { NetworksAttachments } = (await swarm.api(`/tasks/${taskID}`)) as {
        NetworksAttachments: readonly { readonly Addresses: readonly string[] }[];
      };
      return NetworksAttachments.flatMap(({ Addresses }) =>
        Addresses.map((address) => address.split("/")[0] ?? ""),
      );
    }

    /** What the DNS servers have logged, which is whom they saw ask: once they have logged all that was answered. */
    async function dnsLogs(questions: readonly string[]): Promise<Record<string, string>> {
      let logs: Record<string, string> = {};
      const haveAll = async () => {
        logs = await readDnsLogs();
        const all = Object.values(logs).join("");
        return questions.every((name) => all.includes(name));
      };
      await until(haveAll, { what: "the DNS servers' logs" });
      return logs;
    }

    async function readDnsLogs(): Promise<Record<string, string>> {
      const names = ["dns-n1", "dns-n2"];
      const logs = await Promise.all(
        names.map(async (name) => {
          const [running] = await swarm.running(name);
          assert.ok(running, `${name} runs`);
          const { stdout, stderr } = await running.host.engine(["logs", running.containerID]);
          return [name, stdout + stderr] as const;
        }),
      );
      return Object.fromEntries(logs);
    }
  });

function placeOf(place: Place): Place {
  return {
    name: place.name,
    exec: (argv, options) => place.exec(argv, options),
    spawn: (argv, options) => place.spawn(argv, options),
  };
}

function isRefused({ error, tookMs }: ProbeResult): boolean {
  return (error === "ECONNREFUSED" || error === "ECONNRESET") && tookMs < AT_ONCE_MS;
}

function explain({ probe: sent, error, task, client, tookMs }: ProbeResult): string {
  const outcome = error ?? `answered by ${task} who saw ${client}`;
  return `${sent.kind} ${sent.address}:${sent.port}: ${outcome} after ${tookMs} ms`;
}

/** dnsmasq: "query[A] NAME from ADDRESS". */
function askerOf(log: string, name: string): string {
  const escaped = name.replaceAll(".", "\\.");
  return new RegExp(`query\\[A\\] ${escaped} from (\\S+)`).exec(log)?.[1] ?? "nobody";
}

function exactly(...addresses: readonly string[]): RegExp {
  return new RegExp(`^(${addresses.join("|").replaceAll(".", "\\.")})$`);
}

function sum(numbers: readonly number[]): number {
  return numbers.reduce((total, number) => total + number, 0);
}
