/** The connections of one client port that conntrack knows: their packets go on as they began, whatever the rules now say. Pure. */

import { withPort } from "../base/host-port.ts";
import { isOfIPv6 } from "../base/ip-address.ts";
import type { TraceQuestion } from "./host-trace.ts";

export interface KnownConnection {
  /** As conntrack calls it; of UDP whether an answer was seen. */
  readonly state: string;
  /** Who answers: the task that it was led to, or the address that was asked. */
  readonly to: string;
}

/** What lists them: arguments of `conntrack`; undefined where the client's port is not known. */
export function knownConnectionsArgs(question: TraceQuestion): readonly string[] | undefined {
  const { protocol, source, destination, port, clientPort } = question;
  if (clientPort === undefined) return undefined;
  const from = ["--orig-src", source, "--orig-port-src", String(clientPort)];
  const to = ["--orig-dst", destination, "--orig-port-dst", String(port)];
  const family = isOfIPv6(destination) ? ["-f", "ipv6"] : [];
  return ["-L", ...family, "-p", protocol, ...from, ...to];
}

/** From what `conntrack -L` prints. */
export function decodeKnownConnections(listing: string): readonly KnownConnection[] {
  return listing.split("\n").flatMap((line) => {
    const [, answering] = [...line.matchAll(/ src=(\S+) dst=\S+ sport=(\d+)/g)];
    const [, address = "", port] = answering ?? [];
    if (answering === undefined) return [];
    const tcp = /^tcp +\d+ \d+ (\w+)/.exec(line)?.[1];
    const udp = line.includes("[UNREPLIED]") ? "unanswered" : "answered";
    return [{ state: tcp ?? udp, to: withPort(address, Number(port)) }];
  });
}
