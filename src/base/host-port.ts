/** Addresses with ports as text: an IPv6 address stands in brackets. */

/** "192.168.99.100:8080", "[fd00::1]:8080". */
export function withPort(host: string, port: number): string {
  return `${host.includes(":") ? `[${host}]` : host}:${port}`;
}
