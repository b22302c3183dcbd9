/** A host of the lab with a real Engine and a real keeper, without a daemon: what the keeper's tests share. */
import { HTTPKeeperClient } from "../../src/keeper/client.ts";
import type { Host } from "../../src/lab/host.ts";
import type { Service } from "../../src/lab/process.ts";
import { until } from "../../src/lab/until.ts";

const PROGRAM = new URL("./keeper-program.ts", import.meta.url).pathname;

export class KeeperHost {
  readonly host: Host;
  readonly argv: readonly string[];
  #keeper: Service | undefined;

  constructor(host: Host) {
    this.host = host;
    const node = [process.execPath, "--disable-warning=ExperimentalWarning"];
    const flags = ["--data-dir", "/var/lib/weft", "--log-level", "debug"];
    this.argv = [...node, PROGRAM, "v1", "keeper", ...flags];
  }

  /** A new one for each use, as its socket belongs to one boot of the host. */
  get client(): HTTPKeeperClient {
    return new HTTPKeeperClient({ socketPath: this.host.path("/run/weft/keeper.sock") });
  }

  async start(): Promise<void> {
    this.#keeper = await this.host.spawn(this.argv, { name: "keeper" });
    await until(async () => (await this.client.status()).pid > 0, { what: "the keeper to answer" });
  }

  async end(signal: "SIGKILL" | "SIGTERM"): Promise<number> {
    return (await this.#keeper?.end(signal)) ?? -1;
  }

  log(): string {
    return this.#keeper?.output() ?? "";
  }

  async createNetwork(name: string, ...options: string[]): Promise<void> {
    const drivers = ["-d", "weft", "--ipam-driver", "weft"];
    await this.host.engineOk(["network", "create", ...drivers, ...options, name]);
  }

  async createOverlay(name: string, vni: number, ...options: string[]): Promise<void> {
    const kind = ["-o", "weft.kind=overlay", "--ipam-opt", "weft.kind=overlay"];
    await this.createNetwork(name, ...kind, "-o", `weft.vni=${vni}`, ...options);
  }

  /** Names of the host's links that are the keeper's. */
  async links(): Promise<string[]> {
    const output = await this.host.execOk(["ip", "-o", "link", "show"]);
    return [...output.matchAll(/^\d+: (w[vco][0-9a-f]{12})/gm)].map((match) => match[1] ?? "");
  }

  /** The host's route to an address, or an empty text. */
  async route(address: string): Promise<string> {
    return (await this.host.execOk(["ip", "route", "show", `${address}/32`])).trim();
  }
}
