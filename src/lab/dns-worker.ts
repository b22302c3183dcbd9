/** The process that asks: `node dns-worker.ts QUESTION` prints a JSON list of what came back. */
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";

export interface DnsQuestion {
  readonly server: string;
  readonly port: number;
  readonly name: string;
  readonly type: "A" | "TXT";
  readonly protocol: "udp" | "tcp";
  readonly timeoutMs: number;
  readonly times: number;
}

export interface DnsAnswer {
  /** Addresses or texts; empty without an answer. */
  readonly records: readonly string[];
  /** Why there was no answer: an errno or "timeout". */
  readonly failure: string | undefined;
  readonly elapsedMs: number;
}

const TYPES = { A: 1, TXT: 16 } as const;
const CLASS_IN = 1;
const HEADER_BYTES = 12;
const RECURSION_DESIRED = 0x0100;

async function main(question: DnsQuestion): Promise<void> {
  const answers: DnsAnswer[] = [];
  for (let id = 1; id <= question.times; id++) answers.push(await ask(question, id));
  process.stdout.write(JSON.stringify(answers));
}

async function ask(question: DnsQuestion, id: number): Promise<DnsAnswer> {
  const startedAt = performance.now();
  const message = encodeQuestion(question, id);
  const signal = AbortSignal.timeout(question.timeoutMs);
  const exchange = question.protocol === "udp" ? askUdp : askTcp;
  const outcome = await exchange(question, message, signal).then(
    (reply) => ({ records: decodeRecords(reply), failure: undefined }),
    (error: NodeJS.ErrnoException) => ({
      records: [],
      failure: signal.aborted ? "timeout" : (error.code ?? error.message),
    }),
  );
  return { ...outcome, elapsedMs: Math.round(performance.now() - startedAt) };
}

function askUdp({ server, port }: DnsQuestion, message: Buffer, signal: AbortSignal) {
  return new Promise<Buffer>((resolve, reject) => {
    const socket = createSocket(isIPv6(server) ? "udp6" : "udp4");
    signal.addEventListener("abort", () => reject(signal.reason), { once: true });
    signal.addEventListener("abort", () => closeQuietly(socket), { once: true });
    socket.once("error", reject);
    socket.once("message", (reply) => {
      closeQuietly(socket);
      resolve(reply);
    });
    // Connected, so that a port that nobody serves is an error and not silence.
    socket.connect(port, server, () => socket.send(message));
  });
}

function closeQuietly(socket: ReturnType<typeof createSocket>): void {
  try {
    socket.close();
  } catch {
    // closed already
  }
}

function askTcp({ server, port }: DnsQuestion, message: Buffer, signal: AbortSignal) {
  return new Promise<Buffer>((resolve, reject) => {
    const socket = connect({ host: server, port, signal });
    const framed = Buffer.concat([Buffer.alloc(2), message]);
    framed.writeUInt16BE(message.length);
    socket.end(framed);
    const chunks: Buffer[] = [];
    socket.on("data", (chunk: Buffer) => chunks.push(chunk));
    socket.once("error", reject);
    socket.once("close", () => resolve(Buffer.concat(chunks).subarray(2)));
  });
}

/** RFC 1035 §4.1. */
export function encodeQuestion(
  { name, type }: Pick<DnsQuestion, "name" | "type">,
  id: number,
): Buffer {
  const header = Buffer.alloc(HEADER_BYTES);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(RECURSION_DESIRED, 2);
  header.writeUInt16BE(1, 4);
  const labels = name.split(".").map((label) => {
    return Buffer.concat([Buffer.from([label.length]), Buffer.from(label)]);
  });
  const tail = Buffer.alloc(5);
  tail.writeUInt16BE(TYPES[type], 1);
  tail.writeUInt16BE(CLASS_IN, 3);
  return Buffer.concat([header, ...labels, tail]);
}

/** The A and TXT records of a reply, in their order. */
export function decodeRecords(reply: Buffer): string[] {
  const records: string[] = [];
  let at = skipName(reply, HEADER_BYTES) + 4;
  for (let left = reply.readUInt16BE(6); left > 0; left--) {
    at = skipName(reply, at);
    const type = reply.readUInt16BE(at);
    const data = reply.subarray(at + 10, at + 10 + reply.readUInt16BE(at + 8));
    at += 10 + data.length;
    if (type === TYPES.A) records.push([...data].join("."));
    if (type === TYPES.TXT) records.push(data.subarray(1, 1 + (data[0] ?? 0)).toString());
  }
  return records;
}

function skipName(message: Buffer, start: number): number {
  let at = start;
  for (;;) {
    const length = message.readUInt8(at);
    if (length >= 0xc0) return at + 2; // a pointer ends a name (§4.1.4)
    if (length === 0) return at + 1;
    at += length + 1;
  }
}

if (import.meta.main) await main(JSON.parse(process.argv[2] ?? "{}") as DnsQuestion);
