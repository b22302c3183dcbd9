/**
 * The client matrix over IPv4 on real kernels: whoever asks, wherever the task runs, TCP and UDP, and
 * whom the task saw.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ipv6Of } from "../../src/datapath/ipv6.ts";
import { CLIENT, Lab, lan6, type Place, SUBNET, SUBNET6, whyNot } from "./datapath/lab.ts";
import { Mesh } from "./datapath/mesh.ts";

/** Answered by a task on h1, on h2, by nobody, by all three. */
const ON_H1 = 8080;
const ON_H2 = 8081;
const BY_NOBODY = 8082;
const BY_ALL = 8083;
const IN_HOST_MODE = 8090;

const TASKS = [
  { name: "a1", host: "h1", address: "10.255.0.10" },
  { name: "x1", host: "h1", address: "10.255.0.20" },
  { name: "b2", host: "h2", address: "10.255.0.11" },
  { name: "c3", host: "h3", address: "10.255.0.12" },
] as const;

const H1 = "192.168.99.100";
const H2 = "192.168.99.101";
const H3 = "192.168.99.102";
/** What a masqueraded client is seen as: the entry node's own address in the ingress network. */
const ENTRY_H1 = "10.255.0.2";
const ENTRY_H2 = "10.255.0.3";

/** One row: who asks which node, and what is answered when the task is on h1, on h2, on none. */
type Row = readonly [who: string, entry: string, onH1: string, onH2: string];

const ROWS: readonly Row[] = [
  ["client", H1, `a1 ${CLIENT}`, `b2 ${CLIENT}`],
  ["client", H2, `a1 ${CLIENT}`, `b2 ${CLIENT}`],
  ["client", H3, `a1 ${CLIENT}`, `b2 ${CLIENT}`],
  // The entry host itself, by its LAN address and by 127.0.0.1.
  ["h1", H1, `a1 ${H1}`, `b2 ${H1}`],
  ["h1", "127.0.0.1", `a1 ${ENTRY_H1}`, `b2 ${ENTRY_H1}`],
  ["h1", "127.1.2.3", `a1 ${ENTRY_H1}`, `b2 ${ENTRY_H1}`],
  ["h1", ENTRY_H1, `a1 ${ENTRY_H1}`, `b2 ${ENTRY_H1}`],
  // Another member; for the task on h2, h2 is the task's own host asking through another node.
  ["h3", H1, `a1 ${H3}`, `b2 ${H3}`],
  ["h2", H1, `a1 ${H2}`, `b2 ${ENTRY_H1}`],
  ["h2", ENTRY_H1, `a1 ${ENTRY_H2}`, `b2 ${ENTRY_H1}`],
  // A plain container on the entry host, on another member, on the task's own host.
  ["container on h1", H1, `a1 ${H1}`, `b2 ${ENTRY_H1}`],
  ["container on h1", "172.17.0.1", `a1 ${H1}`, `b2 ${ENTRY_H1}`],
  ["container on h3", H1, `a1 ${H3}`, `b2 ${H3}`],
  ["container on h2", H1, `a1 ${H2}`, `b2 ${ENTRY_H1}`],
  // A task through its own node (a1 reaches itself), and through another node (and itself again).
  ["x1", H1, "a1 10.255.0.20", "b2 10.255.0.20"],
  ["a1", H1, `a1 ${ENTRY_H1}`, "b2 10.255.0.10"],
  ["x1", H2, `a1 ${ENTRY_H2}`, `b2 ${H1}`],
  ["a1", H2, `a1 ${ENTRY_H2}`, `b2 ${H1}`],
  ["a1", H3, `a1 10.255.0.4`, `b2 ${H1}`],
  ["b2", H1, `a1 ${H2}`, `b2 ${ENTRY_H1}`],
  ["b2", ENTRY_H1, "a1 10.255.0.11", `b2 ${ENTRY_H1}`],
];

const H1_6 = lan6(H1);
const H2_6 = lan6(H2);
const H3_6 = lan6(H3);
const CLIENT_6 = lan6(CLIENT);
const [ENTRY_H1_6, ENTRY_H2_6, ENTRY_H3_6, A1_6, B2_6, X1_6] = [
  ...[ENTRY_H1, ENTRY_H2, "10.255.0.4", "10.255.0.10", "10.255.0.11", "10.255.0.20"],
].map((address) => ipv6Of(SUBNET6, SUBNET, address)) as [
  string,
  string,
  string,
  string,
  string,
  string,
];

/** As in IPv4, without ::1, which is the keeper's to relay, and without the Engine's bridge, which has no IPv6. */
const ROWS6: readonly Row[] = [
  ["client", H1_6, `a1 ${CLIENT_6}`, `b2 ${CLIENT_6}`],
  ["client", H2_6, `a1 ${CLIENT_6}`, `b2 ${CLIENT_6}`],
  ["client", H3_6, `a1 ${CLIENT_6}`, `b2 ${CLIENT_6}`],
  ["h1", H1_6, `a1 ${H1_6}`, `b2 ${H1_6}`],
  ["h1", ENTRY_H1_6, `a1 ${ENTRY_H1_6}`, `b2 ${ENTRY_H1_6}`],
  ["h3", H1_6, `a1 ${H3_6}`, `b2 ${H3_6}`],
  ["h2", H1_6, `a1 ${H2_6}`, `b2 ${ENTRY_H1_6}`],
  ["h2", ENTRY_H1_6, `a1 ${ENTRY_H2_6}`, `b2 ${ENTRY_H1_6}`],
  ["x1", H1_6, `a1 ${X1_6}`, `b2 ${X1_6}`],
  ["a1", H1_6, `a1 ${ENTRY_H1_6}`, `b2 ${A1_6}`],
  ["x1", H2_6, `a1 ${ENTRY_H2_6}`, `b2 ${H1_6}`],
  ["a1", H2_6, `a1 ${ENTRY_H2_6}`, `b2 ${H1_6}`],
  ["a1", H3_6, `a1 ${ENTRY_H3_6}`, `b2 ${H1_6}`],
  ["b2", H1_6, `a1 ${H2_6}`, `b2 ${ENTRY_H1_6}`],
  ["b2", ENTRY_H1_6, `a1 ${B2_6}`, `b2 ${ENTRY_H1_6}`],
];

describe("a published port, whoever asks", { skip: whyNot() }, () => {
  let lab: Lab;
  let mesh: Mesh;
  const places = new Map<string, Place>();

  before(async () => {
    lab = await Lab.make();
    mesh = new Mesh(lab, TASKS);
    await mesh.startTasks();
    mesh.publish(ON_H1, ["a1"]);
    mesh.publish(ON_H2, ["b2"]);
    mesh.publish(BY_NOBODY, []);
    mesh.publish(BY_ALL, ["a1", "b2", "c3"]);
    mesh.publish(8084, ["x1"]);
    mesh.publishOnHost("h1", IN_HOST_MODE, "a1");
    for (const host of lab.hosts) {
      await host.place.call({ call: "hold", ports: [...mesh.view(host).heldPorts] });
      places.set(host.name, host.place);
      places.set(`container on ${host.name}`, await lab.container(host));
    }
    for (const [name, place] of mesh.places) places.set(name, place);
    places.set("client", await lab.client("client", CLIENT));
    await mesh.apply();
  });
  after(async () => await lab[Symbol.asyncDispose]());

  function place(name: string): Place {
    const found = places.get(name);
    assert(found !== undefined, name);
    return found;
  }

  for (const protocol of ["tcp", "udp"] as const) {
    for (const [who, address, onH1, onH2] of [...ROWS, ...ROWS6]) {
      it(`${protocol}: ${who} asks ${address}`, async () => {
        const ask = (port: number) => place(who).ask({ protocol, address, port });
        const answers = await Promise.all([ON_H1, ON_H2, BY_NOBODY].map(ask));
        assert.deepEqual(answers, [onH1, onH2, "ECONNREFUSED"]);
      });
    }

    it(`${protocol}: one client port through two nodes to one task at once`, async () => {
      const ask = { protocol, port: ON_H2, from: 40_001 } as const;
      if (protocol === "udp") {
        // One after the other, within the life of the first flow in conntrack.
        for (const address of [H1, H3, H1, H2]) {
          assert.equal(await place("client").ask({ ...ask, address }), `b2 ${CLIENT}`);
          const answer = await place("client").ask({ ...ask, address: lan6(address) });
          assert.equal(answer, `b2 ${CLIENT_6}`);
        }
        return;
      }
      for (const [client, first, second] of [
        [CLIENT, H1, H3],
        [CLIENT_6, H1_6, H3_6],
      ] as const) {
        const open = (name: string, address: string) =>
          place("client").call({ call: "open", name, ...ask, address });
        const one = await open(`one ${client}`, first);
        const two = await open(`two ${client}`, second);
        assert.match(String(one), new RegExp(`^b2 ${client} `));
        assert.match(String(two), new RegExp(`^b2 ${client} `));
        assert.notEqual(one, two, "the task must be able to tell them apart");
        assert.equal(await place("client").call({ call: "say", name: `one ${client}` }), one);
      }
    });

    it(`${protocol}: a host-mode port leads to its own node's task, and to nothing elsewhere`, async () => {
      const ask = { protocol, port: IN_HOST_MODE } as const;
      const seen = await Promise.all([
        place("client").ask({ ...ask, address: H1 }),
        place("h1").ask({ ...ask, address: "127.0.0.1" }),
        place("h1").ask({ ...ask, address: H1 }),
        place("a1").ask({ ...ask, address: H1 }),
        place("b2").ask({ ...ask, address: H1 }),
        place("client").ask({ ...ask, address: H2 }),
      ]);
      const masqueraded = `a1 ${ENTRY_H1}`;
      const kept = `a1 ${CLIENT}`;
      assert.deepEqual(seen, [
        kept,
        masqueraded,
        `a1 ${H1}`,
        masqueraded,
        `a1 ${H2}`,
        "ECONNREFUSED",
      ]);
    });
  }

  it("spreads connections over all live tasks", async () => {
    const counts = new Map<string, number>();
    for (let asked = 0; asked < 300; asked++) {
      const answer = await place("client").ask({ protocol: "tcp", address: H1, port: BY_ALL });
      counts.set(answer, (counts.get(answer) ?? 0) + 1);
    }
    const seen = ["a1", "b2", "c3"].map((task) => counts.get(`${task} ${CLIENT}`) ?? 0);
    // Binomial(300, 1/3): six standard deviations are 49.
    for (const count of seen) assert(count > 51 && count < 149, seen.join(", "));
    assert.equal(counts.size, 3);
  });
});
