/** `/weft/trace` over three nodes whose kernels are as they should be, but for what a test does to them. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { makeNode, makeTask } from "../cluster/factories.ts";
import { desired } from "../datapath/desired.ts";
import { hostTrace, type TraceQuestion } from "../datapath/host-trace.ts";
import { ipv6Of } from "../datapath/ipv6.ts";
import type { InterfaceAddresses } from "../datapath/publish-places.ts";
import * as testing from "../datapath/testing.ts";
import type { MeshPort } from "../datapath/view.ts";
import type { NodeTrace } from "../dispatcher/assignment.ts";
import { ask } from "./fake-engine.ts";
import { FakeBackend } from "./fake-manager.ts";
import { LoopbackApi } from "./loopback-api.ts";
import type { TraceAnswer } from "./trace.ts";

const REVISION = 7;
const TASKS = [
  { taskID: "t1", address: "10.255.0.8", nodeIndex: 1 },
  { taskID: "t2", address: "10.255.0.9", nodeIndex: 2 },
];
const NODES = [1, 2, 3].map(testing.makeNode);
const CLIENT = "192.168.99.200";

let api: LoopbackApi;
let host: string;
/** Of the service at 8080. */
let limits: Pick<MeshPort, "allowedSources" | "boundTo">;
let interfaces: InterfaceAddresses;
let live: readonly string[];
let silent: string;
let isHeld: boolean;
let ipv6Ports: readonly string[];

beforeEach(async () => {
  [limits, live, silent, isHeld] = [{}, ["t1", "t2"], "", true];
  ipv6Ports = [];
  interfaces = new Map();
  const backend = new FakeBackend();
  backend.traces = traceOn;
  await backend.store.update((tx) => {
    for (const { nodeID, underlayAddress, addresses } of NODES) {
      const node = makeNode({ id: nodeID, hostname: `host-${nodeID}`, addr: underlayAddress });
      const description = node.description ?? assert.fail();
      tx.put("node", { ...node, description: { ...description, addresses } });
    }
    for (const { taskID, address, nodeIndex } of TASKS) {
      const network = { id: "ingress" } as never;
      const address6 = ipv6Of(testing.SUBNET6, "10.255.0.0/16", address);
      const addresses = [`${address}/16`, `${address6}/64`];
      const networksAttachments = [{ network, addresses }];
      tx.put("task", makeTask({ id: taskID, nodeID: `n${nodeIndex}`, networksAttachments }));
    }
  });
  api = await LoopbackApi.start({ backend });
  ({ host } = api);
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

function traceOn(nodeID: string, question: TraceQuestion): NodeTrace {
  const self = NODES.find((node) => node.nodeID === nodeID);
  if (self === undefined || nodeID === silent) return { revision: REVISION };
  const endpoints = TASKS.map((task) =>
    testing.makeEndpoint({
      ...task,
      state: live.includes(task.taskID) ? "live" : "draining",
      ipv6Ports,
    }),
  );
  const service = testing.makeService(8080, { serviceName: "web", endpoints });
  const ports = service.ports.map((port) => ({ ...port, ...limits }));
  const here = TASKS.filter(({ nodeIndex }) => nodeIndex === self.index);
  const view = testing.makeView({
    self,
    revision: nodeID === "n2" ? REVISION - 1 : REVISION,
    peers: NODES.filter((node) => node !== self),
    services: [{ ...service, ports }],
    localLinks: here.map(({ address }) => ({
      address,
      address6: ipv6Of(testing.SUBNET6, "10.255.0.0/16", address),
      link: `wv${address}`,
    })),
    ...(isHeld ? {} : { heldPorts: new Set<string>() }),
  });
  const facts = { ...testing.makeFacts(view), interfaces };
  const wanted = desired(view, facts);
  return {
    revision: REVISION,
    trace: hostTrace({ view, actual: wanted, wanted, addresses: [], interfaces }, question),
  };
}

async function trace(client: string, to: string, port = 8080): Promise<TraceAnswer> {
  const answer = await ask(host, `/weft/trace?client=${client}&to=${to}&port=${port}`);
  assert.equal(answer.status, 200, answer.text);
  return answer.json as unknown as TraceAnswer;
}

const endOf = ({ Ways }: TraceAnswer) => Ways.map(({ End }) => `${End.Kind}: ${End.Why}`);

describe("a packet's trace", () => {
  it("is told hop by hop, for each endpoint, with its chance", async () => {
    const answer = await trace(CLIENT, "host-n1");
    assert.deepEqual(answer.Notes, [
      "host-n1 holds port 8080/tcp",
      "service web publishes it, 2 live and 0 draining endpoints",
    ]);
    const [here, there] = answer.Ways;
    assert.deepEqual([here?.OneOf, there?.OneOf], [2, 2]);
    assert.deepEqual(there?.Hops, [
      {
        ...{ NodeID: "n1", Hostname: "host-n1", Notes: [] },
        Steps: ["led to 10.255.0.9:80", "to host-n2 by weft0"],
      },
      {
        ...{ NodeID: "n2", Hostname: "host-n2", Notes: ["its kernel is at revision 6 of 7"] },
        Steps: [
          "conntrack zone 1, by the sender's MAC 02:42:0a:ff:00:02",
          `to task 10.255.0.9:80 by wv10.255.0.9, from ${CLIENT}`,
          "its reply is marked 0x40010000 and goes back to host-n1 by weft0",
        ],
      },
    ]);
    assert.deepEqual(endOf(answer), [
      `task: task web.1.t1 at 10.255.0.8:80 is asked by ${CLIENT}, and answers through host-n1`,
      `task: task web.1.t2 at 10.255.0.9:80 is asked by ${CLIENT}, and answers through host-n1`,
    ]);
  });

  it("is told of a node's own processes, of members, and of tasks on other nodes", async () => {
    const ends = async (client: string, to: string) => endOf(await trace(client, to))[1];
    const seenAs = (source: string, through: string) =>
      `task: task web.1.t2 at 10.255.0.9:80 is asked by ${source}, and answers through ${through}`;
    assert.equal(await ends("host-n1", "127.0.0.1"), seenAs("10.255.0.2", "host-n1"));
    assert.equal(await ends("host-n1", "host-n1"), seenAs("192.168.99.100", "host-n1"));
    assert.equal(await ends("host-n3", "192.168.99.100"), seenAs("192.168.99.102", "host-n1"));
    assert.equal(await ends("host-n2", "host-n1"), seenAs("10.255.0.2", "host-n1"));
    // Leaves its own node as that node, and comes in by the LAN.
    assert.equal(await ends("10.255.0.8", "host-n3"), seenAs("192.168.99.100", "host-n3"));
  });

  it("is told of IPv6 as of IPv4: led to tasks that serve it, or relayed", async () => {
    const [here, there] = ["2001:db8:99::100", "2001:db8:99::101"];
    const client = "2001:db8:99::200";
    const seenAs = (at: string, source: string) =>
      `task: task web.1.t2 at ${at}:80 is asked by ${source}, and answers through host-n1`;
    assert.deepEqual(endOf(await trace(client, here))[1], seenAs("10.255.0.9", "10.255.0.2"));
    ipv6Ports = ["tcp/80"];
    const answer = await trace("2001:DB8:99:0::200", "host-n1");
    assert.equal(answer.Destination, here);
    assert.deepEqual(answer.Ways[1]?.Hops[0]?.Steps, [
      "led to [fd5a:9c3e:71b2::9]:80",
      "to host-n2 by weft0",
    ]);
    const seen = seenAs("[fd5a:9c3e:71b2::9]", client);
    assert.equal(endOf(answer)[1], seen);
    const own = await trace("host-n1", "::1");
    assert.match(
      own.Ways[1]?.Hops[0]?.Steps.at(-1) ?? "",
      /^relayed by its keeper to 127\.0\.0\.1/,
    );
    assert.equal(endOf(own)[1], seenAs("10.255.0.9", "10.255.0.2"));
    const [member] = endOf(await trace("host-n2", here));
    assert.match(member ?? "", new RegExp(`is asked by ${there}`));
    const mixed = await ask(host, `/weft/trace?client=${CLIENT}&to=${here}&port=8080`);
    assert.equal(mixed.status, 400);
    assert.match(mixed.text, /different families/);
    limits = { allowedSources: ["10.0.0.0/8", "2001:db8:99::/64"] };
    assert.equal(endOf(await trace(client, here))[1], seen);
    limits = { allowedSources: ["10.0.0.0/8", "2001:db8:98::/64"] };
    assert.match(endOf(await trace(client, here))[0] ?? "", /^refused: .*::200 may not reach/);
  });

  it("says why it is refused", async () => {
    limits = { allowedSources: ["10.0.0.0/8"] };
    const [notAllowed] = endOf(await trace(CLIENT, "host-n1"));
    assert.match(notAllowed ?? "", /^refused: .*200 may not reach service web .*publish\.allow/);
    limits = { boundTo: ["10.0.0.0/8"] };
    assert.match(
      endOf(await trace(CLIENT, "host-n1"))[0] ?? "",
      /not answered at 192\.168\.99\.100/,
    );
    limits = { boundTo: ["10.0.0.0/8", "eth1"] };
    interfaces = new Map([["eth1", ["192.168.99.77", "fd07::1"]]]);
    const elsewhere = await trace(CLIENT, "host-n1");
    assert.match(endOf(elsewhere)[0] ?? "", /not answered at 192\.168\.99\.100/);
    assert.ok(
      elsewhere.Notes.some((note) =>
        note.endsWith(
          "addresses in 10.0.0.0/8, and those of interface eth1 (now 192.168.99.77, fd07::1)",
        ),
      ),
      elsewhere.Notes.join("\n"),
    );
    interfaces = new Map([["eth1", ["192.168.99.100"]]]);
    assert.match(endOf(await trace(CLIENT, "host-n1"))[0] ?? "", /is asked by/);
    limits = {};
    live = [];
    assert.match(endOf(await trace(CLIENT, "host-n1"))[0] ?? "", /no live endpoint \(2 draining\)/);
  });

  it("says whose a port is that nobody publishes, or that is not held", async () => {
    assert.match(
      endOf(await trace(CLIENT, "host-n1", 22))[0] ?? "",
      /no service publishes 22\/tcp/,
    );
    isHeld = false;
    const answer = await trace(CLIENT, "host-n1");
    assert.match(answer.Notes[0] ?? "", /host-n1 does not hold port 8080\/tcp/);
    assert.match(endOf(answer)[0] ?? "", /the port is not held there/);
    api.backend.traces = (nodeID, question) => {
      const said = traceOn(nodeID, question);
      const found = said.trace ?? assert.fail();
      return { ...said, trace: { ...found, port: { ...found.port, problem: "in use by nginx" } } };
    };
    assert.match(
      endOf(await trace(CLIENT, "host-n1"))[0] ?? "",
      /a process of host-n1 .* by nginx/,
    );
  });

  it("says which connections a client's port has, since no rule is asked for those", async () => {
    const asked: (number | undefined)[] = [];
    api.backend.traces = (nodeID, question) => {
      asked.push(question.clientPort);
      const said = traceOn(nodeID, question);
      const found = said.trace ?? assert.fail();
      const known = [{ state: "ESTABLISHED", to: "10.255.0.9:80" }];
      return { ...said, trace: { ...found, known } };
    };
    const answer = await trace(`${CLIENT}&clientPort=40712`, "host-n1");
    assert.match(
      answer.Notes.at(-1) ?? "",
      /host-n1 knows .*ESTABLISHED.* go on to 10\.255\.0\.9:80/,
    );
    assert.deepEqual(asked, [40_712, undefined], "it is the entry's question alone");
  });

  it("ends where a node does not answer", async () => {
    silent = "n2";
    const [here, there] = endOf(await trace(CLIENT, "host-n1"));
    assert.match(here ?? "", /^task/);
    assert.match(there ?? "", /^silent: host-n2 does not answer/);
  });

  for (const [client, to, port, words] of [
    ["nobody", "host-n1", "8080", /'nobody' is neither an address nor a node/],
    [CLIENT, "nowhere", "8080", /no node has the name, id or address 'nowhere'/],
    [CLIENT, "127.0.0.1", "8080", /only a node's own processes reach it/],
    ["127.0.0.1", "host-n1", "8080", /'127\.0\.0\.1' is neither/],
    ["fe80::1%25eth0", "host-n1", "8080", /without a link of one host's/],
    [CLIENT, "host-n1", "0", /invalid port '0'/],
    [CLIENT, "host-n1", "80&clientPort=x", /invalid clientPort 'x'/],
  ] as const) {
    it(`is refused for ${client} to ${to}:${port}`, async () => {
      const answer = await ask(host, `/weft/trace?client=${client}&to=${to}&port=${port}`);
      assert.ok(answer.status === 400 || answer.status === 404, `${answer.status}`);
      assert.match((answer.json as { message: string }).message, words);
    });
  }
});
