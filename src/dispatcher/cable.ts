/** A cable between a node and its manager, for tests that pull it. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

/** Carries bytes to `addr` until it is cut; a cut says nothing to either side. */
export class Cable {
  readonly #sockets = new Set<Socket>();
  readonly #server = createServer((near) => this.#carry(near));
  readonly #addr: string;
  #isCut = false;

  constructor(addr: string) {
    this.#addr = addr;
  }
  async lay(): Promise<string> {
    this.#server.listen(0, "127.0.0.1");
    await once(this.#server, "listening");
    return `127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }
  cut(): void {
    this.#isCut = true;
    for (const socket of this.#sockets) socket.pause();
  }
  mend(): void {
    this.#isCut = false;
    for (const socket of this.#sockets) socket.resume();
  }
  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.destroy();
    this.#server.close();
  }
  #carry(near: Socket): void {
    const [host = "", port] = this.#addr.split(":");
    const far = connect({ host, port: Number(port) });
    for (const [from, to] of [
      [near, far],
      [far, near],
    ] as const) {
      this.#sockets.add(from);
      from.on("data", (bytes) => void to.write(bytes));
      from.on("error", () => {});
      from.on("close", () => {
        this.#sockets.delete(from);
        if (!this.#isCut) to.destroy();
      });
      if (this.#isCut) from.pause();
    }
  }
}
