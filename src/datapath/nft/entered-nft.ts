/**
 * nftables of another network namespace, in process: libnftables on this thread, which is in the namespace for as long as
 * a command takes, some milliseconds. A process for each command would cost five to ten times as much, and more the larger
 * this one is. Within the window a context may open its socket anew as it likes: it gets one of that namespace.
 */
import type { Clock } from "../../base/clock.ts";
import { type Context, type Library, newContext, OUTPUT_JSON } from "./libnftables.ts";
import { isAbsent, type Nft, NftError } from "./nft.ts";

/** The kernel clears up after a transaction for some 15 ms, and whoever closes a socket of netfilter's before has to wait for that. */
export const CLOSE_AFTER_MS = 100;

export interface EnteredNftComponents {
  readonly library: Library;
  /** Runs what uses the library in the network namespace of that file. */
  readonly within: <T>(path: string, work: () => T) => T;
  readonly clock: Clock;
  /** Whether another thread is in the library: a context is not let go of meanwhile. */
  readonly isBusy: () => boolean;
}

/** `path`: a file that names the namespace. Commands are run at once, one after another; to be closed when done with. */
export class EnteredNft implements Nft {
  readonly version = "libnftables";
  readonly #components: EnteredNftComponents;
  readonly #path: string;
  #context: Context | undefined;

  constructor(components: EnteredNftComponents, path: string) {
    this.#components = components;
    this.#path = path;
  }

  async run(transaction: string): Promise<void> {
    this.#command(transaction, 0);
  }

  async list(what: string): Promise<unknown> {
    try {
      return JSON.parse(this.#command(`list ${what}`, OUTPUT_JSON));
    } catch (error) {
      if (error instanceof NftError && isAbsent(error.stderr)) return undefined;
      throw error;
    }
  }

  /** Keeps nobody waiting. */
  async close(): Promise<void> {
    const context = this.#context;
    this.#context = undefined;
    if (context !== undefined) this.#free(context);
  }

  #command(text: string, outputFlags: number): string {
    const { library, within } = this.#components;
    return within(this.#path, () => {
      const context = (this.#context ??= newContext(library));
      library.setOutputFlags(context, outputFlags);
      const status = library.run(context, text);
      const output = library.outputOf(context);
      const stderr = library.errorOf(context);
      if (status !== 0) throw new NftError(text, stderr);
      return output;
    });
  }

  #free(context: Context): void {
    const { clock, isBusy, library } = this.#components;
    clock.timer("nft context", CLOSE_AFTER_MS, () => {
      if (isBusy()) this.#free(context);
      else library.free(context);
    });
  }
}
