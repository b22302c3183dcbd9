/**
 * Answers of a chosen size over UDP, as a DNS server gives them, with the choices that servers have about fragments and
 * Node.js has not: in Python, which any Debian has.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { inNamespace } from "./lab.ts";

/** Linux's IP_MTU_DISCOVER: may be cut on the way; cut by who sends once the way is known; never cut, the program is told. */
export const FRAGMENTS = { anywhere: 0, here: 1, never: 2 } as const;
export type Fragments = keyof typeof FRAGMENTS;

/** Answers a number with as many bytes; with `!` and what the way takes, where the kernel refuses to send so much. */
const SERVER = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, 10, int(sys.argv[2]))
s.bind(("", int(sys.argv[1])))
print("up", flush=True)
while True:
    asked, client = s.recvfrom(65535)
    try:
        s.sendto(b"x" * int(asked), client)
    except OSError as error:
        s.sendto(b"!%d" % error.errno, client)
`;
/** Asks until it is answered, with a question filled up with blanks: how many bytes came, or what the server or it was told. */
const CLIENT = `
import socket, sys
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
s.setsockopt(socket.IPPROTO_IP, 10, int(sys.argv[5]))
s.settimeout(0.5)
s.connect((sys.argv[1], int(sys.argv[2])))
for attempt in range(20):
    try:
        s.send(sys.argv[3].ljust(int(sys.argv[4])).encode())
    except OSError as error:
        print("!%d" % error.errno)
        break
    # What came back of the last one, by ICMP, may be told here: it is asked again.
    try:
        answer = s.recv(65535)
        print(answer.decode() if answer[:1] == b"!" else len(answer))
        break
    except OSError:
        pass
else:
    print("silence")
`;

/** Serves in a namespace until it is disposed of; resolves when it listens. */
export async function answerWithBytes(
  namespace: string,
  port: number,
  fragments: Fragments,
): Promise<AsyncDisposable> {
  const args = ["python3", "-c", SERVER, `${port}`, `${FRAGMENTS[fragments]}`];
  const child = spawn("ip", ["netns", "exec", namespace, ...args], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  await Promise.race([once(createInterface({ input: child.stdout }), "line"), ended]);
  return {
    async [Symbol.asyncDispose]() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

export interface Question {
  readonly address: string;
  readonly port: number;
  /** How many it asks for, and how many it has itself. */
  readonly answerBytes: number;
  readonly bytes: number;
  readonly fragments: Fragments;
}

/** The bytes of the answer as text; "!90" where who sent too many was told; "silence". */
export async function askForBytes(namespace: string, question: Question): Promise<string> {
  const { address, port, answerBytes, bytes, fragments } = question;
  const numbers = [port, answerBytes, bytes, FRAGMENTS[fragments]].map(String);
  const argv = ["python3", "-c", CLIENT, address, ...numbers];
  return (await inNamespace(namespace, argv)).trim();
}
