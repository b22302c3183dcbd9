/**
 * What of this process' program is resident. Of Node.js' forty megabytes of code most is run now and then, much of it by the
 * start alone. The kernel has such pages in its page cache, and counts them for each process that has them mapped. A
 * process at rest unmaps them here: what runs again is mapped again out of that cache, and nothing is read.
 */
import { readFileSync } from "node:fs";
import koffi from "koffi";
import type { Clock, Timer } from "./clock.ts";
import type { Startable } from "./lifecycle.ts";

/** So often it is looked whether the process has come to rest. */
const LOOK_MS = 2_000;
/** While it rests, what it does now and then maps code too: that is let go after so many looks. */
const LOOKS_AT_REST = 8;
/** Of one core: who uses less is at rest. */
const REST_SHARE = 0.05;

/** From sys/mman.h. */
const MADV_DONTNEED = 4;
/** Code is a file's, and nobody writes to it: what is unmapped of it comes back unchanged. */
const CODE = /^([0-9a-f]+)-([0-9a-f]+) r-xp [0-9a-f]+ \S+ [1-9]\d* +\//;

export interface ResidentCodeComponents {
  readonly clock: Clock;
  /** CPU time of the process so far. */
  readonly cpuMs?: () => number;
  readonly release?: () => void;
}

/** Unmaps the process' code when it comes to rest after it worked, and now and then while it rests. */
export class ResidentCode implements Startable {
  readonly #clock: Clock;
  readonly #cpuMs: () => number;
  readonly #release: () => void;
  #timer: Timer | undefined;
  /** Looks until the code is let go, if the process rests. */
  #looksLeft = 0;

  constructor({ clock, cpuMs = ownCPUMs, release = releaseCode }: ResidentCodeComponents) {
    this.#clock = clock;
    this.#cpuMs = cpuMs;
    this.#release = release;
  }

  start(): void {
    const [at, usedMs] = [this.#clock.monotonic(), this.#cpuMs()];
    this.#timer = this.#clock.timer("resident code", LOOK_MS, () => {
      const share = (this.#cpuMs() - usedMs) / (this.#clock.monotonic() - at);
      this.#look(share < REST_SHARE);
      this.start();
    });
  }

  async stop(): Promise<void> {
    this.#timer?.cancel();
  }

  #look(rests: boolean): void {
    if (!rests) this.#looksLeft = 0;
    else if (this.#looksLeft > 0) this.#looksLeft -= 1;
    else {
      this.#release();
      this.#looksLeft = LOOKS_AT_REST - 1;
    }
  }
}

function ownCPUMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

type Madvise = (from: bigint, length: bigint, advice: number) => number;

let madvise: Madvise | undefined;

/** Unmaps the code of the program and its libraries; takes a millisecond, and as long again to map what goes on running. */
export function releaseCode(): void {
  madvise ??= koffi.load(null).func("int madvise(uintptr_t from, size_t length, int advice)");
  for (const { from, to } of codeIn(readFileSync("/proc/self/maps", "utf8"))) {
    // Where the kernel does not want to, nothing has changed.
    madvise(from, to - from, MADV_DONTNEED);
  }
}

/** The mappings of code in the text of /proc/PID/maps. Pure. */
export function codeIn(maps: string): readonly { readonly from: bigint; readonly to: bigint }[] {
  return maps.split("\n").flatMap((line) => {
    const [, from, to] = CODE.exec(line) ?? [];
    return from === undefined ? [] : [{ from: BigInt(`0x${from}`), to: BigInt(`0x${to}`) }];
  });
}
