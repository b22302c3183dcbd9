/**
 * What a test does inside a namespace: serves, asks, holds ports, keeps connections open, makes load.
 * One request a line on stdin, one answer a line on stdout, matched by id.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { createInterface } from "node:readline";

export interface Ask {
  readonly protocol: "tcp" | "udp";
  readonly address: string;
  readonly port: number;
  /** The client's own port; any when left out. */
  readonly from?: number;
  /** How long to wait for an answer, in milliseconds. */
  readonly deadlineMs?: number;
}

export type AgentCall =
  | ({ readonly call: "ask" } & Ask)
  /** Answers every line or datagram with the name and the client's address and port. */
  | { readonly call: "serve"; readonly name: string; readonly port: number }
  /** Answers only what its clients have ended with, and only when told: `answerLate`. */
  | { readonly call: "serveLate"; readonly port: number }
  | { readonly call: "answerLate" }
  /** Keeps each datagram's answer until told: `answerHeld`. */
  | { readonly call: "serveHeld"; readonly name: string; readonly port: number }
  /** Answers what is held once there is as much, at most as long as a test waits. */
  | { readonly call: "answerHeld"; readonly datagrams: number }
  /** Sends two datagrams from one port, the second when told by `sayAgain`, and hears both answers. */
  | ({ readonly call: "askTwice"; readonly name: string } & Ask)
  | { readonly call: "sayAgain"; readonly name: string }
  /** Ends the client's side of a connection and waits for the server's last words. */
  | ({ readonly call: "halfClose" } & Ask)
  /** As the keeper does: dual-stack listeners that never mean to answer. */
  | { readonly call: "hold"; readonly ports: readonly string[] }
  | ({ readonly call: "open"; readonly name: string } & Ask)
  | { readonly call: "say"; readonly name: string }
  /** How a kept connection ends, without saying anything on it: the error's code, or "closed". */
  | { readonly call: "ended"; readonly name: string }
  /** Sends a payload of this many bytes and reads as many back. */
  | ({ readonly call: "echo"; readonly bytes: number } & Ask)
  /** Says on its link that it is a router for so long; with 0 that it is none any more. */
  | { readonly call: "advertise"; readonly lifetimeS: number }
  /** How many datagrams have been served here. */
  | { readonly call: "served" }
  /** Sends datagrams without waiting for answers. */
  | ({ readonly call: "send"; readonly times: number } & Ask)
  | ({ readonly call: "load" } & Ask)
  | { readonly call: "endLoad" };

const DEFAULT_DEADLINE_MS = 2_000;
/** How long a connection is waited for that is to end by itself. */
const ENDED_MS_MAX = 20_000;
/** A first byte of the payload that is to come back whole. */
const ECHO = 0x21;
const held: (() => void)[] = [];
let arrived = Promise.withResolvers<void>();
const twice = new Map<string, ReturnType<typeof createSocket>>();
const kept = new Map<string, Socket>();
const halfClosed: Socket[] = [];
const echoing = new WeakSet<Socket>();
let served = 0;
let load: { stop: boolean; done: Promise<{ answered: number; failures: string[] }> } | undefined;

for await (const line of createInterface({ input: process.stdin })) {
  const { id, ...request } = JSON.parse(line) as AgentCall & { id: number };
  void perform(request as AgentCall).then(
    (result) => reply({ id, result }),
    (error: NodeJS.ErrnoException) => reply({ id, error: error.code ?? error.message }),
  );
}
process.exit(0);

function reply(answer: unknown): void {
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}

async function perform(request: AgentCall): Promise<unknown> {
  switch (request.call) {
    case "ask":
      return request.protocol === "tcp" ? await askTCP(request) : await askUDP(request);
    case "serve":
      return await Promise.all([serveTCP(request), serveUDP(request)]);
    case "serveLate":
      return await serveLate(request.port);
    case "answerLate":
      for (const socket of halfClosed.splice(0)) socket.end("late\n");
      return {};
    case "serveHeld":
      return await serveHeld(request);
    case "answerHeld":
      return await answerHeld(request.datagrams);
    case "askTwice":
      return await askTwice(request);
    case "sayAgain":
      return await sayAgain(request.name);
    case "halfClose":
      return await halfClose(request);
    case "hold":
      return await Promise.all(request.ports.map(hold));
    case "open":
      kept.set(request.name, await open(request));
      return await say(request.name);
    case "say":
      return await say(request.name);
    case "ended":
      return await ended(request.name);
    case "echo":
      return await echo(request);
    case "advertise":
      // Loaded where it is needed: it takes longer than all else here.
      return (await import("./router.ts")).advertise("eth0", request.lifetimeS);
    case "served":
      return served;
    case "send":
      return await send(request);
    case "load":
      load = startLoad(request);
      return {};
    case "endLoad":
      if (load === undefined) throw new Error("no load");
      load.stop = true;
      return await load.done;
  }
}

function open(ask: Ask): Promise<Socket> {
  return new Promise((resolve, reject) => {
    const local = ask.from === undefined ? {} : { localPort: ask.from };
    const socket = connect({ host: ask.address, port: ask.port, ...local });
    socket.setTimeout(ask.deadlineMs ?? DEFAULT_DEADLINE_MS, () =>
      socket.destroy(new Error("no answer")),
    );
    socket.once("error", reject);
    socket.once("connect", () => resolve(socket));
  });
}

async function exchange(socket: Socket): Promise<string> {
  const answer = once(socket, "data");
  socket.write("?\n");
  const [data] = (await answer) as [Buffer];
  return data.toString().trim();
}

async function askTCP(ask: Ask): Promise<string> {
  const socket = await open(ask);
  try {
    return await exchange(socket);
  } finally {
    // A reset leaves nothing in TIME_WAIT, so that a test can use the same port again.
    socket.on("error", () => {});
    socket.resetAndDestroy();
  }
}

async function say(name: string): Promise<string> {
  const socket = kept.get(name);
  if (socket === undefined) throw new Error(`no connection ${name}`);
  if (socket.destroyed) throw new Error(`connection ${name} has ended`);
  return await exchange(socket);
}

function ended(name: string): Promise<string> {
  const socket = kept.get(name);
  if (socket === undefined) throw new Error(`no connection ${name}`);
  return new Promise((resolve) => {
    socket.setTimeout(ENDED_MS_MAX, () => resolve("still open"));
    socket.once("error", (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message));
    socket.once("close", () => resolve("closed"));
    socket.resume();
  });
}

function askUDP(ask: Ask): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createSocket(ask.address.includes(":") ? "udp6" : "udp4");
    const deadline = setTimeout(
      () => finish(new Error("no answer")),
      ask.deadlineMs ?? DEFAULT_DEADLINE_MS,
    );
    function finish(outcome: Error | string): void {
      clearTimeout(deadline);
      socket.close();
      if (typeof outcome === "string") resolve(outcome);
      else reject(outcome);
    }
    socket.once("error", finish);
    socket.once("message", (data) => finish(data.toString().trim()));
    // Connected, so that "port unreachable" comes back as an error.
    socket.bind(ask.from ?? 0, () =>
      socket.connect(ask.port, ask.address, () => socket.send("?\n")),
    );
  });
}

function isEcho(socket: Socket, data: Buffer): boolean {
  if (data[0] === ECHO) echoing.add(socket);
  return echoing.has(socket);
}

async function echo(ask: Ask & { bytes: number }): Promise<number> {
  const socket = await open(ask);
  return await new Promise((resolve, reject) => {
    let received = 0;
    socket.on("error", reject);
    socket.on("data", (data) => {
      received += data.length;
      if (received < ask.bytes) return;
      socket.destroy();
      resolve(received);
    });
    socket.write(Buffer.alloc(ask.bytes, ECHO));
  });
}

async function send(ask: Ask & { times: number }): Promise<void> {
  const socket = createSocket("udp4");
  for (let sent = 0; sent < ask.times; sent++) {
    await new Promise((resolve) => socket.send("?\n", ask.port, ask.address, resolve));
  }
  socket.close();
}

function serveTCP({ name, port }: { name: string; port: number }): Promise<void> {
  const server = createServer((socket) => {
    socket.on("error", () => {});
    const address = socket.remoteAddress?.replace("::ffff:", "");
    const who = `${name} ${address} ${socket.remotePort}\n`;
    socket.on("data", (data) => void socket.write(isEcho(socket, data) ? data : who));
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "::", 128, resolve);
  });
}

function serveLate(port: number): Promise<void> {
  const server = createServer({ allowHalfOpen: true }, (socket) => {
    socket.on("error", () => {});
    socket.on("end", () => void halfClosed.push(socket));
    socket.resume();
  });
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, "0.0.0.0", resolve);
  });
}

async function halfClose(ask: Ask): Promise<string> {
  const socket = await open(ask);
  socket.setTimeout(0);
  const answer = once(socket, "data");
  socket.end("?\n");
  const [data] = (await answer) as [Buffer];
  return data.toString().trim();
}

async function serveUDP(task: { name: string; port: number }): Promise<void> {
  await serveUDPOf("udp4", task);
  await serveUDPOf("udp6", task);
}

function serveUDPOf(
  type: "udp4" | "udp6",
  { name, port }: { name: string; port: number },
): Promise<void> {
  const socket = createSocket({ type, ipv6Only: type === "udp6" });
  socket.on("message", (_, from) => {
    served++;
    socket.send(`${name} ${from.address} ${from.port}\n`, from.port, from.address);
  });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, resolve);
  });
}

async function serveHeld(task: { name: string; port: number }): Promise<void> {
  await serveHeldOf("udp4", task);
  await serveHeldOf("udp6", task);
}

function serveHeldOf(
  type: "udp4" | "udp6",
  { name, port }: { name: string; port: number },
): Promise<void> {
  const socket = createSocket({ type, ipv6Only: type === "udp6" });
  socket.on("message", (_, from) => {
    held.push(() => socket.send(`${name} late\n`, from.port, from.address));
    arrived.resolve();
    arrived = Promise.withResolvers<void>();
  });
  return new Promise((resolve, reject) => {
    socket.once("error", reject);
    socket.bind(port, resolve);
  });
}

async function answerHeld(datagrams: number): Promise<unknown> {
  while (held.length < datagrams) await arrived.promise;
  for (const answer of held.splice(0)) answer();
  return {};
}

/** The answers in the order of their coming. Connected: only what comes from where it was sent to is heard. */
function askTwice(ask: Ask & { name: string }): Promise<string[]> {
  const socket = createSocket(ask.address.includes(":") ? "udp6" : "udp4");
  twice.set(ask.name, socket);
  const answers: string[] = [];
  return new Promise((resolve, reject) => {
    const deadline = setTimeout(() => finish(), ask.deadlineMs ?? DEFAULT_DEADLINE_MS);
    function finish(): void {
      clearTimeout(deadline);
      socket.close();
      twice.delete(ask.name);
      resolve(answers);
    }
    socket.once("error", reject);
    socket.on("message", (data) => {
      answers.push(data.toString().trim().split(" ").slice(0, 2).join(" "));
      if (answers.length === 2) finish();
    });
    socket.bind(0, () => socket.connect(ask.port, ask.address, () => socket.send("?\n")));
  });
}

function sayAgain(name: string): unknown {
  twice.get(name)?.send("?\n");
  return {};
}

function hold(key: string): Promise<void> {
  const [protocol, port] = key.split("/");
  return new Promise((resolve, reject) => {
    if (protocol === "udp") {
      const socket = createSocket("udp6");
      socket.once("error", reject);
      socket.bind(Number(port), resolve);
      return;
    }
    const server = createServer((socket) => socket.end("the keeper accepted\n"));
    server.once("error", reject);
    server.listen(Number(port), "::", resolve);
  });
}

/** Fresh connections one after the other, and one kept that speaks between them. */
function startLoad(ask: Ask) {
  const state = { stop: false, done: Promise.resolve({ answered: 0, failures: [] as string[] }) };
  state.done = run();
  return state;

  async function run() {
    const failures: string[] = [];
    let answered = 0;
    const keptOpen = await open(ask);
    while (!state.stop) {
      for (const attempt of [() => askTCP(ask), () => exchange(keptOpen)]) {
        await attempt().then(
          () => answered++,
          (error: NodeJS.ErrnoException) => failures.push(error.code ?? error.message),
        );
      }
    }
    keptOpen.destroy();
    return { answered, failures };
  }
}
