/** A client that asks all hosts all the time, while something is done to the cluster. */
import type { Host } from "../../src/lab/host.ts";
import type { Place } from "../../src/lab/place.ts";
import type { Service } from "../../src/lab/process.ts";
import type { Sample } from "./answers.ts";

const PROBER = new URL("./prober.ts", import.meta.url).pathname;
/** Each host is asked so often: a gap shorter than this is not seen. */
const INTERVAL_MS = 10;

export class Probing implements AsyncDisposable {
  readonly #program: Service;
  /** What an earlier prober of the same client has left in the log. */
  readonly #before: number;

  private constructor(program: Service, before: number) {
    this.#program = program;
    this.#before = before;
  }

  static async start(client: Place, hosts: readonly Host[], port: number): Promise<Probing> {
    const targets = hosts.map((host) => `${host.name}=http://${host.ip}:${port}/`);
    const argv = [process.execPath, PROBER, `${INTERVAL_MS}`, ...targets];
    const program = await client.spawn(argv);
    return new Probing(program, program.output().length);
  }

  /** What has ended so far. */
  samples(): Sample[] {
    const output = this.#program.output().slice(this.#before);
    const complete = output.slice(0, output.lastIndexOf("\n") + 1);
    return complete
      .split("\n")
      .filter((line) => line !== "")
      .map((line) => JSON.parse(line) as Sample);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#program.end("SIGKILL");
  }
}
