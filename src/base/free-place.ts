/** For tests of what listens where it is told, and cannot be given port 0. */
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

/**
 * A TCP port that is free, at a loopback address that is this process's own: at 127.0.0.1 whoever asks for any port
 * might be given it before it is used.
 */
export async function freePlace(): Promise<{ readonly host: string; readonly port: number }> {
  const [a, b, c] = [(process.pid >> 16) & 0x3f, (process.pid >> 8) & 0xff, process.pid & 0xff];
  const host = `127.${0x80 | a}.${b}.${c}`;
  const server = createServer().listen(0, host);
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return { host, port };
}
