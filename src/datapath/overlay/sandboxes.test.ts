import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { FakeClock } from "../../base/clock.ts";
import { silentLogger } from "../../base/logger.ts";
import type { Forget } from "../conntrack/forget.ts";
import type { Flow } from "../conntrack/listed-flows.ts";
import { Sandboxes } from "./sandboxes.ts";
import type { VirtualIP } from "./virtual-ips.ts";

const PATH = "/run/docker/netns/a1";
/** The longest pause between two looks for a namespace. */
const LOOK_MS_MAX = 500;
const OTHER = "/run/docker/netns/b2";

function virtualIP(
  live: readonly string[],
  draining: readonly string[] = [],
): readonly VirtualIP[] {
  return [{ address: "10.0.1.2", live, draining }];
}

/** Namespaces in memory: what each was told, and what it was to forget. */
class Namespaces {
  readonly there = new Set<string>([PATH]);
  readonly told: string[] = [];
  readonly forgotten: Forget[] = [];
  /** Whose clients were woken. */
  readonly woken: string[] = [];
  /** What conntrack knows. */
  flows: readonly Flow[] = [];
  /** How many transactions are still to be refused. */
  refusals = 0;
  listing: unknown;
  ready: readonly string[] = [];
  readonly clock = new FakeClock();
  readonly sandboxes: Sandboxes;

  constructor() {
    const nft = (path: string) => ({
      version: "fake",
      run: async (transaction: string) => {
        if (this.refusals-- > 0) throw new Error("refused");
        this.told.push(`${path}: ${transaction}`);
      },
      list: async () => this.listing,
      close: async () => {},
    });
    const conntrack = async () => ({
      forget: async (forget: readonly Forget[]) => void this.forgotten.push(...forget),
      flows: async (addresses: readonly string[]) =>
        this.flows.filter(({ task }) => addresses.includes(task.address)),
      wake: async (addresses: readonly string[]) => this.woken.push(...addresses),
      close: async () => {},
    });
    this.sandboxes = new Sandboxes({
      entrance: { isThere: (path) => this.there.has(path), nft, conntrack },
      clock: this.clock,
      log: silentLogger,
      onReady: () => {
        this.ready = [...this.sandboxes.ready];
      },
    });
  }

  async apply(list: readonly VirtualIP[], ...paths: readonly string[]): Promise<void> {
    await this.sandboxes.apply(new Map(paths.map((path) => [path, list])));
  }
}

describe("containers' virtual IPs", () => {
  it("are put there once, and then only what changed", async () => {
    const namespaces = new Namespaces();
    const list = virtualIP(["10.0.1.11"]);
    await namespaces.apply(list, PATH);
    await namespaces.apply(list, PATH);
    assert.equal(namespaces.told.length, 1);
    assert.match(namespaces.told[0] ?? "", /add table inet weft_vip/);
    await namespaces.apply(virtualIP(["10.0.1.11", "10.0.1.12"]), PATH);
    const [, chains, elements, ...rest] = namespaces.told;
    assert.match(chains ?? "", /add chain inet weft_vip ip_one_of_2\n/);
    assert.doesNotMatch(`${chains}${elements}`, /ip6_|add table/);
    assert.match(elements ?? "", /10\.0\.1\.2 : goto ip_one_of_2/);
    assert.deepEqual(rest, []);
  });

  it("come as soon as the Engine has made the namespace, and are said to be there", async () => {
    const namespaces = new Namespaces();
    const list = virtualIP(["10.0.1.11"]);
    await namespaces.apply(list, OTHER);
    assert.deepEqual(namespaces.told, []);
    assert.deepEqual(namespaces.ready, []);
    namespaces.clock.advance(1_000);
    namespaces.there.add(OTHER);
    namespaces.clock.advance(LOOK_MS_MAX);
    await namespaces.apply(list, OTHER);
    assert.equal(namespaces.told.length, 1);
    assert.deepEqual(namespaces.ready, [OTHER]);
  });

  it("of a container that is no longer wanted, or never comes, nobody waits for", async () => {
    const namespaces = new Namespaces();
    await namespaces.apply(virtualIP([]), PATH, OTHER);
    assert.deepEqual(namespaces.ready, [PATH]);
    await namespaces.apply(virtualIP([]));
    assert.deepEqual(namespaces.ready, []);
    namespaces.there.add(OTHER);
    namespaces.clock.advance(10_000);
    await namespaces.sandboxes.stop();
    assert.equal(namespaces.told.length, 1);
  });

  it("flows to an endpoint that drains or is gone are forgotten, and what came before the rules", async () => {
    const namespaces = new Namespaces();
    await namespaces.apply(virtualIP(["10.0.1.11", "10.0.1.12"]), PATH);
    assert.deepEqual(namespaces.forgotten.splice(0), [{ kind: "unled-to", address: "10.0.1.2" }]);
    await namespaces.apply(virtualIP(["10.0.1.11"], ["10.0.1.12"]), PATH);
    assert.deepEqual(namespaces.forgotten.splice(0), [{ kind: "udp-to", address: "10.0.1.12" }]);
    assert.deepEqual(namespaces.woken, [], "who drains still serves");
    await namespaces.apply(virtualIP([]), PATH);
    assert.deepEqual(namespaces.woken, ["10.0.1.12", "10.0.1.11"]);
    assert.deepEqual(namespaces.forgotten, [
      { kind: "udp-to", address: "10.0.1.12" },
      { kind: "half-open-to", address: "10.0.1.12" },
      { kind: "udp-to", address: "10.0.1.11" },
      { kind: "half-open-to", address: "10.0.1.11" },
    ]);
  });

  for (const [family, virtualIPAddress, map, one, two, of] of [
    ["IPv4", "10.0.1.2", "late_answers", "10.0.1.11", "10.0.1.12", "10.0.1.50"],
    ["IPv6", "fd00:1::2", "late_answers6", "fd00:1::b", "fd00:1::c", "fd00:1::32"],
  ] as const) {
    it(`late answers of ${family} flows that are moved come from the virtual IP, of those to who is gone not`, async () => {
      const namespaces = new Namespaces();
      const client = { address: of, port: 40_000 };
      const flowTo = (address: string): Flow => ({
        ...{ client, replyTo: client },
        ...{ server: { address: virtualIPAddress, port: 53 }, task: { address, port: 53 } },
      });
      const list = (...[live, draining = []]: Parameters<typeof virtualIP>) =>
        virtualIP(live, draining).map((each) => ({ ...each, address: virtualIPAddress }));
      namespaces.flows = [flowTo(one), flowTo(two)];
      await namespaces.apply(list([one, two]), PATH);
      namespaces.told.splice(0);
      await namespaces.apply(list([one], [two]), PATH);
      const element = `${two} . 53 . ${of} . 40000 : ${virtualIPAddress}`;
      const told = `${PATH}: add element inet weft_vip ${map} { ${element} }\n`;
      assert.equal(namespaces.told.at(-1), told);
      namespaces.told.splice(0);
      await namespaces.apply(list([one]), PATH);
      assert.doesNotMatch(namespaces.told.join(""), /add element inet weft_vip late_answers/);
    });
  }

  it("are read back and tried again once; a container that cannot have them keeps no other waiting", async () => {
    const namespaces = new Namespaces();
    namespaces.refusals = 1;
    await namespaces.apply(virtualIP([]), PATH);
    assert.deepEqual(namespaces.ready, [PATH]);
    namespaces.refusals = 2;
    namespaces.there.add(OTHER);
    await namespaces.apply(virtualIP(["10.0.1.11"]), PATH);
    assert.deepEqual(namespaces.ready, []);
    await namespaces.apply(virtualIP(["10.0.1.11"]), PATH, OTHER);
    assert.deepEqual(namespaces.ready, [PATH, OTHER]);
  });

  it("that somebody took away are found and put back", async () => {
    const namespaces = new Namespaces();
    await namespaces.apply(virtualIP(["10.0.1.11"]), PATH);
    assert.deepEqual(await namespaces.sandboxes.audit(), [], "read back so lately, it is believed");
    namespaces.clock.advance(60_000);
    const drifts = await namespaces.sandboxes.audit();
    assert.match(drifts[0]?.text ?? "", /in the container .*a1: table inet weft_vip was missing/);
    assert.equal(namespaces.told.length, 2);
  });
});
