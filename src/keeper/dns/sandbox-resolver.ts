/**
 * Names for one container: sockets in its own namespace, so that whoever asks there is that container, whatever its
 * addresses are and whether its networks lead anywhere.
 */
import { createHash } from "node:crypto";
import { createSocket, type Socket as DatagramSocket } from "node:dgram";
import { once } from "node:events";
import { createServer, Socket } from "node:net";
import type { Clock } from "../../base/clock.ts";
import type { Random } from "../../base/random.ts";
import { ContainerNamespace } from "./container-namespace.ts";
import { answeringLookup, DnsServer } from "./dns-server.ts";
import { EngineUpstream } from "./engine-upstream.ts";
import type { NameIndex } from "./name-index.ts";
import {
  FORWARDER_ADDRESS,
  RESOLVER_ADDRESS,
  RESOLVER_PORT,
  redirectRules,
  UNDO_REDIRECT,
} from "./redirect.ts";
import { Responder } from "./responder.ts";

/** Below the ports that the kernel gives to clients, so that none of them is in the way of a keeper that comes back. */
const PORT_FIRST = 20_000;
const PORTS = 10_000;
/** So many are tried before the container is left to the Engine's resolver. */
const PORT_TRIES = 16;

export interface SandboxResolverComponents {
  readonly clock: Clock;
  readonly random: Random;
  /** What the container may see now. */
  readonly sets: () => readonly NameIndex[];
}

export class SandboxResolver {
  readonly #namespace: ContainerNamespace;
  readonly #port: number;
  readonly #server: DnsServer;
  readonly #upstream: EngineUpstream;

  private constructor(
    namespace: ContainerNamespace,
    port: number,
    { server, upstream }: { server: DnsServer; upstream: EngineUpstream },
  ) {
    this.#namespace = namespace;
    this.#port = port;
    this.#server = server;
    this.#upstream = upstream;
  }

  /** Resolves when its sockets are there; nothing leads to them before `lead`, or what another keeper left. */
  static async open(
    path: string,
    { clock, random, sets }: SandboxResolverComponents,
  ): Promise<SandboxResolver> {
    const namespace = await ContainerNamespace.at(path);
    const serving = namespace.serving(RESOLVER_ADDRESS, portsOf(path));
    const upstream = new EngineUpstream({
      sockets: {
        datagrams: () => connected(namespace.datagrams(FORWARDER_ADDRESS)),
        stream: () => streamOf(namespace),
      },
      clock,
      random,
    });
    const responder = new Responder({
      sight: () => ({ sets: sets(), zone: false }),
      random,
      upstream,
    });
    const datagrams = await adoptDatagrams(serving.datagrams);
    const streams = createServer().listen({ fd: serving.streams });
    await once(streams, "listening");
    const server = new DnsServer({ responder, datagrams, streams });
    return new SandboxResolver(namespace, serving.port, { server, upstream });
  }

  /** What the container asks its resolver comes here from now on. */
  lead(): void {
    this.#namespace.change(redirectRules(this.#port));
  }

  /** What it asks is the Engine's again; harmless when the container has gone. */
  unlead(): void {
    try {
      this.#namespace.change(UNDO_REDIRECT);
    } catch {
      // Nobody asks there any more.
    }
  }

  async close(): Promise<void> {
    this.#upstream.close();
    await this.#server.close();
  }
}

/** The same ones after a restart: a client that keeps its socket is led to the port that it was led to first. */
export function* portsOf(path: string): Generator<number> {
  const start = createHash("sha256").update(path).digest().readUInt32BE(0);
  for (let at = 0; at < PORT_TRIES; at++) yield PORT_FIRST + ((start + at) % PORTS);
}

async function adoptDatagrams(fd: number): Promise<DatagramSocket> {
  const socket = createSocket({ type: "udp4", lookup: answeringLookup });
  // Of a descriptor it is said at once.
  const listening = once(socket, "listening");
  socket.bind({ fd });
  await listening;
  return socket;
}

async function connected(fd: number): Promise<DatagramSocket> {
  const socket = await adoptDatagrams(fd);
  socket.connect(RESOLVER_PORT, RESOLVER_ADDRESS);
  await once(socket, "connect");
  return socket;
}

function streamOf(namespace: ContainerNamespace): Socket {
  const fd = namespace.stream(FORWARDER_ADDRESS, {
    address: RESOLVER_ADDRESS,
    port: RESOLVER_PORT,
  });
  return new Socket({ fd, readable: true, writable: true });
}
