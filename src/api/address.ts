/** Where the API listens, and where the Engine does: Docker's `--host` notation. */
import { InvalidParameterError } from "../base/errors.ts";

export type HostAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

/** Reads `unix:///path` or `tcp://host:port`. */
export function parseHost(text: string): HostAddress {
  if (text.startsWith("unix://")) {
    const path = text.slice("unix://".length);
    if (path.startsWith("/")) return { kind: "unix", path };
  } else if (text.startsWith("tcp://")) {
    const match = /^tcp:\/\/(\[[0-9a-fA-F:.]+\]|[^:/[\]]+):(\d{1,5})\/?$/.exec(text);
    const port = Number(match?.[2]);
    if (match?.[1] !== undefined && port >= 1 && port <= 65_535) {
      return { kind: "tcp", host: match[1].replace(/^\[|\]$/g, ""), port };
    }
  }
  throw new InvalidParameterError(
    `invalid host ${JSON.stringify(text)}: expected unix:///absolute/path or tcp://address:port`,
  );
}

/** Where the API is to listen. By TCP it does so with certificates alone. */
export function parseListenHost(text: string, hasCertificates: boolean): HostAddress {
  const address = parseHost(text);
  if (address.kind === "unix" || hasCertificates) return address;
  throw new InvalidParameterError(
    `${text} needs TLS with client certificates (--tlscacert, --tlscert, --tlskey): whoever reaches the API is root on this host`,
  );
}
