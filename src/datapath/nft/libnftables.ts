/**
 * libnftables in process, through koffi: three to six times faster than spawning `nft`. One context, one
 * call at a time, always on koffi's own thread, so that a large transaction never blocks the event loop.
 */
import koffi from "koffi";
import { assert } from "../../base/assert.ts";
import { SystemError } from "../../base/errors.ts";
import type { Nft } from "./nft.ts";
import { isAbsent, NftError } from "./nft.ts";

const LIBRARY = "libnftables.so.1";
/** From nftables/libnftables.h. */
export const OUTPUT_JSON = 1 << 4;

export type Context = object;
type RunCommand = {
  (context: Context, text: string): number;
  async(...args: unknown[]): void;
};

export interface Library {
  readonly create: (flags: number) => Context | null;
  readonly free: (context: Context) => void;
  readonly bufferOutput: (context: Context) => number;
  readonly bufferError: (context: Context) => number;
  readonly outputOf: (context: Context) => string;
  readonly errorOf: (context: Context) => string;
  readonly setOutputFlags: (context: Context, flags: number) => void;
  readonly run: RunCommand;
}

let loaded: Library | undefined;
/** Commands under way on other threads: whether contexts of two threads have anything in common the library does not say. */
let underWay = 0;

/** Loads the library when it is first asked for; throws where there is none. */
export function libnftables(): Library {
  return (loaded ??= load());
}

/** Whether another thread is in the library. */
export function isLibnftablesBusy(): boolean {
  return underWay > 0;
}

/** A context of the network namespace that the thread is in. */
export function newContext(library: Library): Context {
  const context = library.create(0);
  if (context === null) throw new SystemError("nft_ctx_new failed");
  library.bufferOutput(context);
  library.bufferError(context);
  return context;
}

/** Throws when the library is not there; the caller then spawns `nft`. */
export async function openLibnftables(): Promise<Nft> {
  const library = libnftables();
  const opened = new Libnftables(library, newContext(library));
  await opened.probe();
  return opened;
}

class Libnftables implements Nft {
  readonly #library: Library;
  readonly #context: Context;
  #version = "libnftables";
  /** One call at a time: the context is not safe for two threads. */
  #last: Promise<unknown> = Promise.resolve();
  #closed = false;

  constructor(library: Library, context: Context) {
    this.#library = library;
    this.#context = context;
  }

  get version(): string {
    return this.#version;
  }

  async probe(): Promise<void> {
    const listing = await this.list("tables");
    const found = /"version": ?"([\d.]+)"/.exec(JSON.stringify(listing))?.[1];
    this.#version = `libnftables ${found ?? "of unknown version"}`;
  }

  async run(transaction: string): Promise<void> {
    await this.#exclusively(() => this.#command(transaction, 0));
  }

  async list(what: string): Promise<unknown> {
    try {
      const output = await this.#exclusively(() => this.#command(`list ${what}`, OUTPUT_JSON));
      return JSON.parse(output);
    } catch (error) {
      if (error instanceof NftError && isAbsent(error.stderr)) return undefined;
      throw error;
    }
  }

  async close(): Promise<void> {
    if (this.#closed) return;
    this.#closed = true;
    await this.#last;
    this.#library.free(this.#context);
  }

  async #exclusively<T>(call: () => Promise<T>): Promise<T> {
    assert(!this.#closed, "libnftables is used after close");
    const turn = this.#last.then(call);
    this.#last = turn.catch(() => {});
    return await turn;
  }

  async #command(text: string, outputFlags: number): Promise<string> {
    const { run, setOutputFlags, outputOf, errorOf } = this.#library;
    setOutputFlags(this.#context, outputFlags);
    underWay += 1;
    const status = await new Promise<number>((resolve, reject) => {
      run.async(this.#context, text, (error: Error | null, result: number) =>
        error === null ? resolve(result) : reject(error),
      );
    }).finally(() => {
      underWay -= 1;
    });
    // Both buffers are emptied by reading; read both, or the next call shows old text.
    const output = outputOf(this.#context);
    const stderr = errorOf(this.#context);
    if (status !== 0) throw new NftError(text, stderr);
    return output;
  }
}

function load(): Library {
  const library = koffi.load(LIBRARY);
  koffi.opaque("nft_ctx");
  return {
    create: library.func("nft_ctx *nft_ctx_new(uint32_t flags)"),
    free: library.func("void nft_ctx_free(nft_ctx *ctx)"),
    bufferOutput: library.func("int nft_ctx_buffer_output(nft_ctx *ctx)"),
    bufferError: library.func("int nft_ctx_buffer_error(nft_ctx *ctx)"),
    outputOf: library.func("const char *nft_ctx_get_output_buffer(nft_ctx *ctx)"),
    errorOf: library.func("const char *nft_ctx_get_error_buffer(nft_ctx *ctx)"),
    setOutputFlags: library.func("void nft_ctx_output_set_flags(nft_ctx *ctx, unsigned int flags)"),
    run: library.func("int nft_run_cmd_from_buffer(nft_ctx *ctx, const char *buf)"),
  };
}
