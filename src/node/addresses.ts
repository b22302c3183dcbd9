/**
 * Which address a node is reached at: what the user said (an address or an interface, with or without a
 * port), else the only candidate there is. Pure; texts as Docker's daemon words them (moby:
 * daemon/cluster/listen_addr.go).
 */
import { isIP, isIPv6 } from "node:net";
import type { NetworkInterfaceInfo } from "node:os";
import { InvalidParameterError } from "../base/errors.ts";
import { withPort } from "../base/host-port.ts";
import { reachableAddress } from "../cluster/cidr6.ts";

export const DEFAULT_MANAGER_PORT = 2377;

export type Interfaces = Readonly<Record<string, readonly NetworkInterfaceInfo[] | undefined>>;

export interface HostPort {
  readonly host: string;
  readonly port: number;
}

/** Splits "address", "address:port" or "interface:port"; an IPv6 address with a port stands in brackets. */
export function parseHostPort(text: string, defaultPort: number): HostPort {
  if (isIPv6(text)) return { host: text, port: defaultPort };
  const match = /^(?:\[(?<ipv6>[^\]]*)\]|(?<host>[^:]*))(?::(?<port>\d+))?$/.exec(text);
  const { ipv6, host = "", port } = match?.groups ?? {};
  const isBad = match === null || (ipv6 !== undefined && !isIPv6(ipv6));
  if (isBad || (port !== undefined && (Number(port) < 1 || Number(port) > 65_535)))
    throw new InvalidParameterError(`invalid address "${text}": expected ADDRESS[:PORT]`);
  return { host: ipv6 ?? host, port: port === undefined ? defaultPort : Number(port) };
}

/** A manager's `address:port` as a user names it to join: without a port it has the usual one. */
export function withDefaultPort(addr: string): string {
  const { host, port } = parseHostPort(addr, DEFAULT_MANAGER_PORT);
  return withPort(host, port);
}

/** What a manager that listens on every address is told to. */
const ANY_ADDRESS = "0.0.0.0";
/** IPv4 too, but for hosts whose bindv6only is set. */
const ANY_ADDRESS6 = "::";

function isAny(host: string): boolean {
  return host === ANY_ADDRESS || host === ANY_ADDRESS6;
}

/** `address:port` to listen on for a request's ListenAddr: an address, an interface's, or every one. */
export function resolveListenAddr(listenAddr: string, interfaces: Interfaces): string {
  const { host, port } = parseHostPort(listenAddr, DEFAULT_MANAGER_PORT);
  if (host === "" || isAny(host)) return withPort(host || ANY_ADDRESS, port);
  if (isIP(host) === 0 && infosOf(host, interfaces) === undefined)
    throw new InvalidParameterError(
      "listen address must be an IP address or network interface (with optional port number)",
    );
  return withPort(resolveAddress(host, interfaces), port);
}

/** A manager that is reached at an IPv6 address and listens on every address does so on those of IPv6. */
export function listenAddrFor(advertiseAddr: string, listenAddr: string): string {
  const { host, port } = parseHostPort(listenAddr, DEFAULT_MANAGER_PORT);
  const isReachedByIPv6 = isIPv6(parseHostPort(advertiseAddr, DEFAULT_MANAGER_PORT).host);
  return isReachedByIPv6 && host === ANY_ADDRESS ? withPort(ANY_ADDRESS6, port) : listenAddr;
}

/** Where a manager's own agent finds it: through its own port, as every other node, by loopback where it listens there. */
export function ownManagerAddr(listenAddr: string): string {
  const { host, port } = parseHostPort(listenAddr, DEFAULT_MANAGER_PORT);
  if (host === ANY_ADDRESS6) return withPort("::1", port);
  return host === ANY_ADDRESS ? `127.0.0.1:${port}` : listenAddr;
}

/** `address:port` to advertise for a request's AdvertiseAddr. */
export function resolveAdvertiseAddr(
  advertiseAddr: string,
  listenAddr: string,
  interfaces: Interfaces,
): string {
  const listen = parseHostPort(listenAddr, DEFAULT_MANAGER_PORT);
  if (advertiseAddr !== "") {
    const { host, port } = parseHostPort(advertiseAddr, listen.port);
    return withPort(resolveAddress(host, interfaces), port);
  }
  if (listen.host !== "" && !isAny(listen.host))
    return withPort(resolveAddress(listen.host, interfaces), listen.port);
  return withPort(onlyAddress(interfaces), listen.port);
}

/** An address as it is, written as the kernel writes it, or the one of an interface: IPv4 where it has that, else IPv6. */
export function resolveAddress(host: string, interfaces: Interfaces): string {
  const address = reachableAddress(host);
  if (isAny(host) || (address === undefined && isIP(host) !== 0))
    throw new InvalidParameterError(
      "advertise address must be a non-zero IP address or network interface (with optional port number)",
    );
  if (address !== undefined) return address;
  const infos = infosOf(host, interfaces);
  if (infos === undefined)
    throw new InvalidParameterError(
      "advertise address must be a non-zero IP address or network interface (with optional port number)",
    );
  return onlyOf(host, "IPv4", infos) ?? onlyOf(host, "IPv6", infos) ?? refuseAddressless(host);
}

function refuseAddressless(name: string): never {
  throw new InvalidParameterError(`interface ${name} has no usable IPv4 or IPv6 address`);
}

/** Undefined where the interface has none of this family. */
function onlyOf(
  name: string,
  family: "IPv4" | "IPv6",
  infos: readonly NetworkInterfaceInfo[],
): string | undefined {
  const [first, second] = addressesOf(family, infos);
  if (second !== undefined)
    throw new InvalidParameterError(
      `interface ${name} has more than one ${family} address (${first} and ${second})`,
    );
  return first;
}

/**
 * Where this node's tunnels end for a request's DataPathAddr, an address of this host or an interface's; undefined
 * when it names none: then it is where the node is reached.
 */
export function resolveDataPathAddr(
  dataPathAddr: string,
  interfaces: Interfaces,
): string | undefined {
  if (dataPathAddr === "") return undefined;
  const isAddress = isIP(dataPathAddr) !== 0;
  const isUsable = isAddress
    ? !isAny(dataPathAddr) && reachableAddress(dataPathAddr) !== undefined
    : infosOf(dataPathAddr, interfaces) !== undefined;
  if (!isUsable)
    throw new InvalidParameterError(
      "data path address must be a non-zero IP address or network interface (without a port number)",
    );
  const address = resolveAddress(dataPathAddr, interfaces);
  const own = Object.values(interfaces).flatMap((infos) => infos ?? []);
  if (own.some((info) => reachableAddress(info.address) === address)) return address;
  throw new InvalidParameterError(
    `data path address ${address} is none of this host's: its tunnels cannot end there`,
  );
}

/** Of an interface by name; what every object has besides is none. */
function infosOf(
  name: string,
  interfaces: Interfaces,
): readonly NetworkInterfaceInfo[] | undefined {
  return Object.hasOwn(interfaces, name) ? interfaces[name] : undefined;
}

function onlyAddress(interfaces: Interfaces): string {
  const candidates = (family: "IPv4" | "IPv6") =>
    Object.entries(interfaces)
      .filter(([name]) => !isVirtual(name))
      .flatMap(([name, infos]) =>
        addressesOf(family, infos ?? []).map((address) => ({ name, address })),
      );
  const ipv4 = candidates("IPv4");
  const [first, second] = ipv4.length > 0 ? ipv4 : candidates("IPv6");
  if (first === undefined)
    throw new InvalidParameterError(
      "could not find the system's IP address - specify one with --advertise-addr",
    );
  if (second !== undefined)
    throw new InvalidParameterError(
      "could not choose an IP address to advertise since this system has multiple addresses " +
        (first.name === second.name
          ? `on interface ${first.name} (${first.address} and ${second.address})`
          : `on different interfaces (${first.address} on ${first.name} and ${second.address} on ${second.name})`) +
        " - specify one with --advertise-addr",
    );
  return first.address;
}

/** Bridges and tunnels that containers hang on; nobody reaches a node by these. */
function isVirtual(name: string): boolean {
  return name === "lo" || /^(docker|br-|veth|weft|wv)/.test(name);
}

/** Those that other hosts can reach: one of a link alone is none. */
function addressesOf(family: "IPv4" | "IPv6", infos: readonly NetworkInterfaceInfo[]): string[] {
  return infos
    .filter((info) => info.family === family && !info.internal)
    .flatMap(({ address }) => reachableAddress(address) ?? []);
}
