/**
 * Runs a program to its end: an argument array, never a shell. By posix_spawn, which lends the child this process' memory
 * until the program is loaded. Node.js forks: the kernel copies the page tables of a hundred megabytes, and this process
 * then faults on each page that it writes to.
 *
 * What the program reads and writes are files in memory. No pipe can be full or break, and the event loop has nothing to
 * do with it but to hear that it has ended.
 */
import { closeSync, fstatSync, readSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { getSystemErrorMessage, getSystemErrorName } from "node:util";
import koffi from "koffi";
import { SystemError } from "./errors.ts";

export interface ProgramInit {
  /** What the program reads on its standard input. */
  readonly input?: string;
  /** A program that takes longer hangs: it is killed, and its run is an error. */
  readonly deadlineMs: number;
  /** Kills the program, whose run is an error then. */
  readonly signal?: AbortSignal | undefined;
}

export interface ProgramResult {
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** More than this is no answer to anything that is asked; the run is an error. */
const OUTPUT_BYTES_MAX = 64 * 1024 * 1024;

/** The program is not there, or cannot be run. */
export class CannotRunError extends SystemError {
  /** As Node.js names it: `ENOENT`. */
  readonly errorName: string;

  constructor(program: string, errno: number) {
    super(`cannot run ${program}: ${getSystemErrorMessage(-errno)}`);
    this.errorName = getSystemErrorName(-errno);
  }
}

/** Resolves with the program's end, whatever its status; rejects when it cannot be run, is killed or says too much. */
export async function runProgram(
  program: string,
  args: readonly string[],
  { input = "", deadlineMs, signal: ending }: ProgramInit,
): Promise<ProgramResult> {
  ending?.throwIfAborted();
  const calls = systemCalls();
  using stdin = new MemoryFile(calls);
  using stdout = new MemoryFile(calls);
  using stderr = new MemoryFile(calls);
  stdin.write(input);
  const pid = spawn(calls, [program, ...args], [stdin.fd, stdout.fd, stderr.fd]);
  const kill = () => void process.kill(pid, "SIGKILL");
  ending?.addEventListener("abort", kill);
  let isLate = false;
  // Again and again, since until the end this is all that keeps the event loop running.
  const deadline = setInterval(() => {
    isLate = true;
    kill();
  }, deadlineMs);
  const end = await ends.of(pid);
  clearInterval(deadline);
  ending?.removeEventListener("abort", kill);
  if (end === undefined) throw new SystemError(`how ${program} ended was not seen`);
  if (isLate) throw new SystemError(`${program} took longer than ${deadlineMs} ms and was ended`);
  const signal = end & SIGNAL_BITS;
  if (signal !== 0) throw new SystemError(`${program} was ended by ${signalName(signal)}`);
  const outputs = { stdout: stdout.text(program), stderr: stderr.text(program) };
  return { status: (end >> STATUS_SHIFT) & STATUS_BITS, ...outputs };
}

/** A number that waitpid gives: the signal that ended the program, or the status that it left with. */
const SIGNAL_BITS = 0x7f;
const STATUS_SHIFT = 8;
const STATUS_BITS = 0xff;

function signalName(number: number): string {
  const found = Object.entries(constants.signals).find(([, value]) => value === number);
  return found?.[0] ?? `signal ${number}`;
}

interface SystemCalls {
  readonly memfd: (name: string, flags: number) => number;
  readonly waitpid: (pid: number, status: [number], options: number) => number;
  readonly spawn: (
    pid: [number],
    program: string,
    actions: Buffer,
    attributes: Buffer,
    argv: readonly (string | null)[],
    environment: readonly (string | null)[],
  ) => number;
  readonly actionsInit: (actions: Buffer) => number;
  readonly actionsDup2: (actions: Buffer, from: number, to: number) => number;
  readonly actionsDestroy: (actions: Buffer) => number;
  readonly attributes: Buffer;
}

/** From the system's headers, of glibc and musl alike on x86 and ARM; the two structs are as long at most. */
const SPAWN_SET_SIGNAL_DEFAULTS = 0x04;
const SPAWN_SET_SIGNAL_MASK = 0x08;
const ATTRIBUTES_BYTES = 512;
const ACTIONS_BYTES = 256;
const SIGNAL_SET_BYTES = 128;
const MEMFD_CLOEXEC = 1;
const MEMFD_NOEXEC_SEAL = 8;
const WAIT_NO_HANG = 1;

let loaded: SystemCalls | undefined;

function systemCalls(): SystemCalls {
  return (loaded ??= load());
}

function load(): SystemCalls {
  // What this process is linked with is the system's C library, whatever its file is called.
  const library = koffi.load(null);
  const attributes = Buffer.alloc(ATTRIBUTES_BYTES);
  const attribute = (name: string, type: string, value: unknown) =>
    library.func(`int posix_spawnattr_${name}(void *attributes, ${type} value)`)(attributes, value);
  library.func("int posix_spawnattr_init(void *attributes)")(attributes);
  // Node.js ignores SIGPIPE, and what is ignored would be in the program too.
  attribute("setflags", "short", SPAWN_SET_SIGNAL_DEFAULTS | SPAWN_SET_SIGNAL_MASK);
  attribute("setsigdefault", "const uint8_t *", Buffer.alloc(SIGNAL_SET_BYTES, 0xff));
  attribute("setsigmask", "const uint8_t *", Buffer.alloc(SIGNAL_SET_BYTES));
  return {
    memfd: library.func("int memfd_create(const char *name, unsigned int flags)"),
    waitpid: library.func("int waitpid(int pid, _Out_ int *status, int options)"),
    spawn: library.func(
      "int posix_spawnp(_Out_ int *pid, const char *program, const void *actions, const void *attributes, const char **argv, const char **environment)",
    ),
    actionsInit: library.func("int posix_spawn_file_actions_init(void *actions)"),
    actionsDup2: library.func(
      "int posix_spawn_file_actions_adddup2(void *actions, int from, int to)",
    ),
    actionsDestroy: library.func("int posix_spawn_file_actions_destroy(void *actions)"),
    attributes,
  };
}

/** Its process id; `descriptors` are its standard input, output and error. */
function spawn(
  { actionsInit, actionsDup2, actionsDestroy, attributes, ...calls }: SystemCalls,
  argv: readonly [program: string, ...args: string[]],
  descriptors: readonly number[],
): number {
  const environment = Object.entries(process.env).map(([name, value]) => `${name}=${value}`);
  const actions = Buffer.alloc(ACTIONS_BYTES);
  const pid: [number] = [0];
  ends.listen();
  actionsInit(actions);
  try {
    for (const [to, from] of descriptors.entries()) actionsDup2(actions, from, to);
    const errno = calls.spawn(
      pid,
      argv[0],
      actions,
      attributes,
      [...argv, null],
      [...environment, null],
    );
    if (errno !== 0) throw new CannotRunError(argv[0], errno);
  } finally {
    actionsDestroy(actions);
  }
  return pid[0];
}

/** A file that has no name and goes with its last descriptor. */
class MemoryFile implements Disposable {
  readonly fd: number;

  constructor({ memfd }: SystemCalls) {
    // Some hosts allow no others (`vm.memfd_noexec`); Linux before 6.3 does not know the flag.
    const sealed = memfd("weft", MEMFD_CLOEXEC | MEMFD_NOEXEC_SEAL);
    this.fd = sealed < 0 ? memfd("weft", MEMFD_CLOEXEC) : sealed;
    if (this.fd < 0) throw new SystemError("no file in memory can be made: too many open files?");
  }

  /** At its beginning, where the program begins to read. */
  write(text: string): void {
    const bytes = Buffer.from(text);
    for (let done = 0; done < bytes.length; )
      done += writeSync(this.fd, bytes, done, bytes.length - done, done);
  }

  text(program: string): string {
    const { size } = fstatSync(this.fd);
    if (size > OUTPUT_BYTES_MAX) throw new SystemError(`${program} said more than can be read`);
    const bytes = Buffer.alloc(size);
    for (let done = 0; done < size; ) {
      const read = readSync(this.fd, bytes, done, size - done, done);
      if (read === 0) break;
      done += read;
    }
    return bytes.toString("utf8");
  }

  [Symbol.dispose](): void {
    closeSync(this.fd);
  }
}

/** Who of the programs has ended: the kernel says that some child has, and each that is waited for is asked about. */
class Ends {
  readonly #waiting = new Map<number, (end: number | undefined) => void>();
  #listens = false;

  /** Before a program is started, so that no end is missed. */
  listen(): void {
    if (this.#listens) return;
    this.#listens = true;
    // Node.js reaps its own children by their ids, and none of these.
    process.on("SIGCHLD", () => this.#reap());
  }

  /** Resolves with waitpid's number for it; undefined when somebody else has asked before. */
  of(pid: number): Promise<number | undefined> {
    return new Promise((resolve) => this.#waiting.set(pid, resolve));
  }

  #reap(): void {
    const { waitpid } = systemCalls();
    for (const [pid, ended] of [...this.#waiting]) {
      const status: [number] = [0];
      const found = waitpid(pid, status, WAIT_NO_HANG);
      if (found === 0) continue;
      this.#waiting.delete(pid);
      ended(found === pid ? status[0] : undefined);
    }
  }
}

const ends = new Ends();
