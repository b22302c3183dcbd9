/**
 * Membership beside the original: agents of Debian's serf and members of ours in one cluster, over
 * loopback. What each side believes is asked of it: `serf members` there, the member's own list here.
 */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { after, describe, it } from "node:test";
import { promisify } from "node:util";
import { systemClock } from "../../src/base/clock.ts";
import { silentLogger } from "../../src/base/logger.ts";
import { systemRandom } from "../../src/base/random.ts";
import type { Address } from "../../src/gossip/address.ts";
import { GossipNode } from "../../src/gossip/gossip-node.ts";
import { Keyring } from "../../src/gossip/keyring.ts";
import { packFields } from "../../src/gossip/msgpack.ts";
import { TIMINGS } from "../../src/gossip/timings.ts";
import type { Transport, TransportHandlers } from "../../src/gossip/transport.ts";
import { SocketTransport } from "../../src/gossip/transport-socket.ts";
import { until } from "../../src/lab/until.ts";

const run = promisify(execFile);
const hasSerf = spawnSync("serf", ["version"]).status === 0;
const skip = hasSerf ? false : "serf is missing (Debian's package serf)";

/** serf marks what a member says about itself with this byte, and puts its tags behind it. */
const SERF_TAGS = 0xff;
/** serf's own message for "I am leaving on purpose", which it wants besides the protocol's. */
const SERF_LEAVE_INTENT = 0;
const WAIT_MS = 100_000;
/** A port that was free may be somebody's when serf takes it: then serf ends, and is given others. */
const STARTS_MAX = 3;
/** Of being cut off, until one is over before serf has lost patience. */
const ROUNDS_MAX = 4;
const SUSPECTED = /Suspect ours has failed/g;

/** Clusters of their own, which mostly wait: they run beside each other, what happens in one of them in order. */
describe("with serf", { skip, concurrency: true }, () => {
  describe("in the clear", { concurrency: 1 }, () => {
    interoperate(undefined);
  });
  describe("sealed", { concurrency: 1 }, () => {
    interoperate(Buffer.from("000102030405060708090a0b0c0d0e0f", "hex"));
  });
  describe("while keys rotate", { concurrency: 1 }, () => {
    rotate();
  });
});

function interoperate(key: Buffer | undefined): void {
  const host = key === undefined ? "127.0.3" : "127.0.4";
  const stack = new AsyncDisposableStack();
  after(() => stack.disposeAsync());
  let sa: Serf;
  let sb: Serf;
  let ours: Ours;

  it("serf joins ours, and another serf joins serf: all see all, with what they say about themselves", async () => {
    ours = stack.use(await Ours.start("ours", `${host}.9`, key));
    sa = stack.use(await Serf.start("sa", `${host}.1`, key, "role=web"));
    sb = stack.use(await Serf.start("sb", `${host}.2`, key));
    await sa.join(ours.node.address);
    await sb.join(sa.address);
    await ours.sees("sa", "alive");
    await ours.sees("sb", "alive");
    for (const agent of [sa, sb]) await agent.sees("ours", "alive");
    assert.match((await sb.members()).get("ours")?.tags["role"] ?? "", /typescript/);
    assert.match(ours.node.member("sa")?.meta.toString("latin1") ?? "", /role.*web/);
  });

  it("ours joins through serf", async () => {
    await using second = await Ours.start("second", `${host}.10`, key);
    second.node.join([sb.address]);
    await second.sees("ours", "alive");
    await second.sees("sa", "alive");
    await sa.sees("second", "alive");
    // Who never heard of a member is told nothing by its leaving.
    await ours.sees("second", "alive");
    await sb.sees("second", "alive");
    second.announceSerfLeave();
    await second.node.leave();
    await sa.sees("second", "left");
    await sb.sees("second", "left");
    await ours.sees("second", "left");
  });

  it("a serf that hangs is suspect here, and alive again once it answers", async () => {
    sb.signal("SIGSTOP");
    await ours.sees("sb", "suspect");
    sb.signal("SIGCONT");
    await ours.sees("sb", "alive");
    await sa.sees("sb", "alive");
  });

  it("ours that is cut off is suspect there, refutes when it is back, and does not fail", async () => {
    const times = (pattern: RegExp) => sa.log.match(pattern)?.length ?? 0;
    const incarnation = () => ours.node.member("ours")?.incarnation ?? 0;
    const FAILED = /EventMemberFailed: ours/g;
    // serf's suspicion lasts three seconds, and it may be as long until it asks again: then it tells too late.
    for (let round = 1; ; round++) {
      const [before, suspected, failed] = [incarnation(), times(SUSPECTED), times(FAILED)];
      ours.transport.cut = true;
      await until(() => times(SUSPECTED) > suspected, { what: "suspicion", timeoutMs: WAIT_MS });
      ours.transport.cut = false;
      await ours.sees("sa", "alive");
      await until(() => incarnation() > before, { what: "a refutation", timeoutMs: WAIT_MS });
      await sa.sees("ours", "alive");
      if (times(FAILED) === failed) break;
      assert.ok(round < ROUNDS_MAX, "whenever it was cut off it has failed");
    }
  });

  it("ours that dies has failed there, and is believed when it comes back", async () => {
    const third = await Ours.start("third", `${host}.11`, key);
    third.node.join([sa.address]);
    await sa.sees("third", "alive");
    // Who never heard of a member is told nothing by its death.
    await ours.sees("third", "alive");
    await third[Symbol.asyncDispose]();
    await sa.sees("third", "failed");
    await ours.sees("third", "dead");
    await using again = await Ours.start("third", `${host}.11`, key, third.node.address.port);
    again.node.join([sb.address]);
    await sa.sees("third", "alive");
    await ours.sees("third", "alive");
    assert.ok((again.node.member("third")?.incarnation ?? 0) > 1);
  });

  it("a serf that leaves has left, one that is killed is dead", async () => {
    sb.signal("SIGINT");
    await ours.sees("sb", "left");
    sa.signal("SIGKILL");
    await ours.sees("sa", "dead");
  });

  it("nothing of what was said was undecodable", () => {
    const { undecodable, unsealed } = ours.node.counters;
    assert.deepEqual({ undecodable, unsealed }, { undecodable: 0, unsealed: 0 });
  });
}

function rotate(): void {
  it("keys rotate without a moment in which one does not hear the other", async () => {
    const [first, second] = [Buffer.alloc(16, 1), Buffer.alloc(16, 2)];
    await using ours = await Ours.start("ours", "127.0.5.9", first);
    await using serf = await Serf.start("sa", "127.0.5.1", first);
    await serf.join(ours.node.address);
    await ours.sees("sa", "alive");
    const failed: string[] = [];
    ours.node.on("change", (change, { node }) => change === "failed" && failed.push(node));
    ours.node.keyring?.install(second);
    await serf.keys("-install", second);
    ours.node.keyring?.use(second);
    await serf.keys("-use", second);
    ours.node.keyring?.remove(first);
    await serf.keys("-remove", first);
    // Heard anew with the new key alone: news of ours arrives there.
    ours.node.describe(tags({ role: "rotated" }));
    await until(async () => (await serf.members()).get("ours")?.tags["role"] === "rotated", {
      what: "news under the new key",
      timeoutMs: WAIT_MS,
    });
    assert.deepEqual(failed, []);
    assert.equal(ours.node.counters.unsealed, 0);
  });
}

function tags(of: Readonly<Record<string, string>>): Buffer {
  return Buffer.concat([Buffer.of(SERF_TAGS), packFields(of)]);
}

/** Sockets that can be deaf and mute for a while. */
class CuttableTransport implements Transport {
  readonly #sockets: SocketTransport;
  cut = false;
  constructor(bind: Address) {
    this.#sockets = new SocketTransport(bind);
  }
  get address(): Address {
    return this.#sockets.address;
  }
  start(handlers: TransportHandlers): Promise<void> {
    return this.#sockets.start({
      onPacket: (from, bytes) => this.cut || handlers.onPacket(from, bytes),
      onStream: (from, stream) => (this.cut ? stream.destroy() : handlers.onStream(from, stream)),
      onError: (error) => handlers.onError(error),
    });
  }
  stop(): Promise<void> {
    return this.#sockets.stop();
  }
  send(to: Address, bytes: Buffer): void {
    if (!this.cut) this.#sockets.send(to, bytes);
  }
  dial(to: Address, signal: AbortSignal) {
    return this.#sockets.dial(to, this.cut ? AbortSignal.abort() : signal);
  }
}

class Ours implements AsyncDisposable {
  readonly node: GossipNode;
  readonly transport: CuttableTransport;

  constructor(node: GossipNode, transport: CuttableTransport) {
    this.node = node;
    this.transport = transport;
  }

  static async start(name: string, host: string, key: Buffer | undefined, port = 0): Promise<Ours> {
    const transport = new CuttableTransport({ host, port });
    const node = new GossipNode(
      { transport, clock: systemClock, random: systemRandom, log: silentLogger },
      {
        node: name,
        meta: tags({ role: "typescript" }),
        timings: TIMINGS.lan,
        ...(key !== undefined && { keyring: new Keyring(key) }),
      },
    );
    await node.start();
    return new Ours(node, transport);
  }

  async sees(node: string, state: string): Promise<void> {
    const signal = AbortSignal.timeout(WAIT_MS);
    while (this.node.member(node)?.state !== state) {
      await once(this.node, "change", { signal }).catch((cause: unknown) => {
        const known = this.node.members().map((member) => JSON.stringify(member));
        throw new Error(`waiting for ${node} to be ${state}: ${known.join("\n")}`, { cause });
      });
    }
  }

  announceSerfLeave(): void {
    const [self] = this.node.members();
    assert.ok(self);
    const intent = packFields({ LTime: 1_000, Node: self.node, Prune: false });
    this.node.broadcast("leave", Buffer.concat([Buffer.of(SERF_LEAVE_INTENT), intent]));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.node.stop();
  }
}

interface SerfMember {
  readonly name: string;
  readonly status: string;
  readonly tags: Readonly<Record<string, string>>;
}

class Serf implements AsyncDisposable {
  readonly address: Address;
  readonly #rpc: string;
  readonly #child: ChildProcess;
  log = "";

  constructor(child: ChildProcess, address: Address, rpc: string) {
    this.#child = child;
    this.address = address;
    this.#rpc = rpc;
    const keep = (chunk: Buffer) => {
      this.log += chunk.toString();
    };
    child.stdout?.on("data", keep);
    child.stderr?.on("data", keep);
  }

  static async start(
    name: string,
    host: string,
    key: Buffer | undefined,
    tag?: string,
  ): Promise<Serf> {
    const said: string[] = [];
    while (said.length < STARTS_MAX) {
      const port = await freePort(host);
      const rpc = `${host}:${await freePort(host)}`;
      // The profile for one host tells news but twice, and often to members that are dead.
      const args = ["agent", "-profile=lan", `-node=${name}`, `-bind=${host}:${port}`];
      args.push(`-rpc-addr=${rpc}`, ...(tag === undefined ? [] : ["-tag", tag]));
      if (key !== undefined) args.push(`-encrypt=${key.toString("base64")}`);
      const serf = new Serf(spawn("serf", args, { stdio: "pipe" }), { host, port }, rpc);
      const problem = await serf.sees(name, "alive").then(
        () => undefined,
        (error: unknown) => String(error),
      );
      if (problem === undefined) return serf;
      await serf[Symbol.asyncDispose]();
      said.push(problem, serf.log);
    }
    throw new Error(`serf does not run: ${said.join("\n")}`);
  }

  get isRunning(): boolean {
    return this.#child.exitCode === null && this.#child.signalCode === null;
  }

  async join({ host, port }: Address): Promise<void> {
    await run("serf", ["join", `-rpc-addr=${this.#rpc}`, `${host}:${port}`]);
  }

  async members(): Promise<ReadonlyMap<string, SerfMember>> {
    const args = ["members", `-rpc-addr=${this.#rpc}`, "-format=json"];
    const { stdout } = await run("serf", args);
    const { members } = JSON.parse(stdout) as { readonly members: readonly SerfMember[] };
    return new Map(members.map((member) => [member.name, member]));
  }

  async sees(node: string, status: string): Promise<void> {
    const isSeen = async () =>
      !this.isRunning || (await this.members()).get(node)?.status === status;
    await until(isSeen, {
      what: `serf to see ${node} ${status}`,
      timeoutMs: WAIT_MS,
      intervalMs: 100,
    });
    assert.ok(this.isRunning, `serf has ended: ${this.log}`);
  }

  async logs(pattern: RegExp): Promise<void> {
    await until(() => pattern.test(this.log), { what: String(pattern), timeoutMs: WAIT_MS });
  }

  /** serf asks every member and ours does not answer such questions, so it says that not all did. */
  async keys(what: string, key: Buffer): Promise<void> {
    const args = ["keys", `-rpc-addr=${this.#rpc}`, `${what}=${key.toString("base64")}`];
    const failure = await run("serf", args).catch(
      (error: { stderr?: string; stdout?: string }) => error,
    );
    const said = `${failure.stdout}${failure.stderr}`;
    assert.doesNotMatch(said, /not in use|not installed|[Ff]ailed to/, said);
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill("SIGKILL");
    await once(this.#child, "exit");
  }
}

async function freePort(host: string): Promise<number> {
  const server = createServer().listen(0, host);
  await once(server, "listening");
  const bound = server.address();
  await new Promise((resolve) => server.close(resolve));
  assert.ok(typeof bound === "object" && bound !== null);
  return bound.port;
}
