/** Somewhere on the lab's network that programs can run: a machine, or one container's network. */
import type { RunOptions, RunResult, Service } from "./process.ts";

export interface SpawnOptions {
  readonly env?: Readonly<Record<string, string>>;
  /** Names the log file; the program's own name and a number when absent. */
  readonly name?: string;
}

export interface Place {
  readonly name: string;
  exec(argv: readonly string[], options?: RunOptions): Promise<RunResult>;
  spawn(argv: readonly string[], options?: SpawnOptions): Promise<Service>;
}

/** This machine's programs in the network namespace of a process of `place`: a container as a client. */
export class NetworkOf implements Place {
  readonly name: string;
  readonly #place: Place;
  readonly #enter: readonly string[];

  /** `pid` is as the place sees it: what `docker inspect` shows. */
  constructor(place: Place, name: string, pid: number) {
    this.name = name;
    this.#place = place;
    this.#enter = ["nsenter", "-t", String(pid), "-n", "--"];
  }

  exec(argv: readonly string[], options?: RunOptions): Promise<RunResult> {
    return this.#place.exec([...this.#enter, ...argv], options);
  }

  spawn(argv: readonly string[], options?: SpawnOptions): Promise<Service> {
    return this.#place.spawn([...this.#enter, ...argv], options);
  }
}
