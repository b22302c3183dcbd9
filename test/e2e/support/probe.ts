/**
 * A program of its own: reads probes as JSON from standard input, sends them all at once, and
 * prints what became of each. It is run inside the namespaces of the client that it stands for.
 */
import { createSocket } from "node:dgram";
import { connect, isIPv6, type Socket } from "node:net";
import { text } from "node:stream/consumers";

export interface ProbeInit {
  /** `dns` is one datagram, `dns-tcp` the same question on a connection. */
  readonly kind: "http" | "dns" | "dns-tcp";
  readonly address: string;
  readonly port: number;
  /** The client's own port; any when absent. */
  readonly localPort?: number;
  /** For `dns`: what is asked; the log of the server then shows who did. */
  readonly name?: string;
}

export interface ProbeOutcome {
  readonly error?: string;
  readonly body: string;
  readonly tookMs: number;
}

/** More than two retransmissions of a lost SYN (1 s, then 2 s more). */
const TIMEOUT_MS = 4_000;

const open = new Set<{ close(): void }>();

if (import.meta.main) {
  const probes = JSON.parse(await text(process.stdin)) as ProbeInit[];
  const outcomes = await Promise.all(probes.map(outcomeOf));
  for (const connection of open) connection.close();
  process.stdout.write(JSON.stringify(outcomes));
}

async function outcomeOf(probe: ProbeInit): Promise<ProbeOutcome> {
  const startedAt = performance.now();
  const tookMs = () => Math.round(performance.now() - startedAt);
  try {
    const body = await within(send(probe));
    return { body, tookMs: tookMs() };
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    return { error: code ?? message, body: "", tookMs: tookMs() };
  }
}

function send(probe: ProbeInit): Promise<string> {
  switch (probe.kind) {
    case "http":
      return exchange(probe, Buffer.from("GET / HTTP/1.1\r\nHost: probe\r\n\r\n"), httpBody);
    case "dns-tcp": {
      const question = dnsQuestion(probe.name ?? "probe.fixed.test");
      const length = Buffer.from([question.length >> 8, question.length & 0xff]);
      return exchange(probe, Buffer.concat([length, question]), (data) =>
        data.length >= 2 && data.length >= 2 + data.readUInt16BE(0)
          ? dnsAnswer(data.subarray(2))
          : undefined,
      );
    }
    case "dns":
      return datagram(probe, dnsQuestion(probe.name ?? "probe.fixed.test"));
  }
}

/** Sends a request on a new connection and reads until `parse` has all of the answer. */
function exchange(
  { address, port, localPort }: ProbeInit,
  request: Buffer,
  parse: (data: Buffer) => string | undefined,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const local = localPort === undefined ? {} : { localPort };
    const socket: Socket = connect({ host: address, port, noDelay: true, ...local });
    open.add({ close: () => socket.destroy() });
    let data: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      data = Buffer.concat([data, chunk]);
      const answer = parse(data);
      if (answer !== undefined) resolve(answer);
    });
    socket.once("error", reject);
    socket.once("end", () => reject(coded("EOF")));
    socket.write(request);
  });
}

function datagram({ address, port, localPort }: ProbeInit, request: Buffer): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = createSocket({ type: isIPv6(address) ? "udp6" : "udp4", reuseAddr: true });
    open.add(socket);
    socket.once("error", reject);
    socket.once("message", (message: Buffer) => resolve(dnsAnswer(message)));
    socket.bind(localPort ?? 0, () => {
      // Connected, so that sockets of one port each get their own answers, and "port unreachable"
      // is an error and not silence.
      socket.connect(port, address, () => socket.send(request));
    });
  });
}

function httpBody(data: Buffer): string | undefined {
  const [head = "", ...rest] = data.toString("latin1").split("\r\n\r\n");
  const length = /^content-length: *(\d+)/im.exec(head)?.[1];
  const body = rest.join("\r\n\r\n");
  if (length === undefined || body.length < Number(length)) return undefined;
  if (!head.startsWith("HTTP/1.1 200")) throw coded(head.split("\r\n")[0] ?? "");
  return body;
}

/** RFC 1035 §4: one question, type A, recursion desired. */
function dnsQuestion(name: string): Buffer {
  const labels = name.split(".").map((label) => Buffer.from(`_${label}`));
  for (const label of labels) label[0] = label.length - 1;
  const header = Buffer.from([0x57, 0x66, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
  return Buffer.concat([header, ...labels, Buffer.from([0, 0, 1, 0, 1])]);
}

/** The address in an answer with one A record, which stands at its end. */
function dnsAnswer(message: Buffer): string {
  const answers = message.readUInt16BE(6);
  if (answers !== 1) throw coded(`DNS rcode ${message.readUInt8(3) & 15}, ${answers} answers`);
  return [...message.subarray(-4)].join(".");
}

async function within(answer: Promise<string>): Promise<string> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(coded("ETIMEDOUT")), TIMEOUT_MS);
  });
  try {
    return await Promise.race([answer, late]);
  } finally {
    clearTimeout(timer);
  }
}

function coded(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(code), { code });
}
