/**
 * One keeper takes the place of another without a moment in which a port is free: the old one starts the
 * new one, passes its bound sockets to it, and goes when the new one says that it is up.
 *
 *   old            new
 *    ── spawn ────▶      (an IPC channel; HANDOVER_ENV says so)
 *    ◀──── ready ──
 *    ── port … ───▶      (one message with its socket for each port)
 *    ── over ─────▶      (the old one has let go of the lock and takes no more calls)
 *    ◀──── up ─────      (both unix sockets are the new one's)
 */
import { type ChildProcess, spawn } from "node:child_process";
import type { Socket } from "node:dgram";
import type { Server } from "node:net";
import { SystemError } from "../base/errors.ts";
import { integerIn, objectOf } from "./decode.ts";
import type { PortSocket } from "./ports/binder.ts";
import type { HeldSocket } from "./ports/port-holder.ts";

/** Set for a keeper that is started to take over. */
export const HANDOVER_ENV = "WEFT_KEEPER_HANDOVER";

/** A new keeper that needs longer than this for one step is given up. */
const STEP_TIMEOUT_MS = 15_000;

/** The new keeper, as the old one sees it. */
export class Successor {
  readonly #child: ChildProcess;

  private constructor(child: ChildProcess) {
    this.#child = child;
  }

  /** Starts it and resolves when it is ready to take sockets. It writes to the log that the old one writes to. */
  static async start(command: readonly string[]): Promise<Successor> {
    const [program = "", ...args] = command;
    const child = spawn(program, args, {
      cwd: "/",
      detached: true,
      env: { ...process.env, [HANDOVER_ENV]: "1" },
      stdio: ["ignore", "inherit", "inherit", "ipc"],
    });
    const successor = new Successor(child);
    await successor.#step("ready");
    return successor;
  }

  async pass(held: readonly HeldSocket[]): Promise<void> {
    for (const { request, socket } of held) await this.#send({ kind: "port", ...request }, socket);
  }

  /** Resolves when it is up; from then on it lives by itself. */
  async finish(): Promise<void> {
    const up = this.#step("up");
    await this.#send({ kind: "over" });
    await up;
    this.#child.disconnect();
    this.#child.unref();
  }

  abandon(): void {
    this.#child.kill("SIGKILL");
  }

  #send(message: object, socket?: PortSocket): Promise<void> {
    return new Promise((resolve, reject) => {
      const sent = (error: Error | null) => (error === null ? resolve() : reject(error));
      this.#child.send(message, socket as Server | Socket, { keepOpen: true }, sent);
    });
  }

  #step(kind: "ready" | "up"): Promise<void> {
    const child = this.#child;
    return new Promise((resolve, reject) => {
      const fail = (why: string) => {
        settle();
        this.abandon();
        reject(new SystemError(`the new keeper did not take over: ${why}`));
      };
      const onMessage = (message: unknown) => {
        if (objectOf(message, "a message")["kind"] !== kind) return;
        settle();
        resolve();
      };
      const onExit = (code: number | null) => fail(`it ended (exit status ${code})`);
      const onError = (error: Error) => fail(error.message);
      const timer = setTimeout(() => fail(`not ${kind} in time`), STEP_TIMEOUT_MS);
      const settle = () => {
        clearTimeout(timer);
        child.off("message", onMessage).off("exit", onExit).off("error", onError);
      };
      child.on("message", onMessage).on("exit", onExit).on("error", onError);
    });
  }
}

/** The old keeper, as the new one sees it. */
export class Predecessor {
  readonly #send: (message: object) => void;

  private constructor(send: (message: object) => void) {
    this.#send = send;
  }

  /** Undefined when this process was not started to take over. */
  static find(): Predecessor | undefined {
    if (process.env[HANDOVER_ENV] === undefined || process.send === undefined) return undefined;
    delete process.env[HANDOVER_ENV];
    return new Predecessor(process.send.bind(process));
  }

  /** Calls `adopt` with each socket as it comes; resolves when the old one has let go of the rest. */
  async take(adopt: (held: HeldSocket) => void): Promise<void> {
    const over = new Promise<void>((resolve, reject) => {
      const gone = () => reject(new SystemError("the old keeper ended before it had handed over"));
      process.once("disconnect", gone);
      process.on("message", (message: unknown, socket: unknown) => {
        const object = objectOf(message, "a message");
        if (object["kind"] === "port") {
          const protocol = object["protocol"] === "udp" ? "udp" : "tcp";
          const port = integerIn(object["port"], "port", 1, 65_535);
          adopt({ request: { protocol, port }, socket: socket as PortSocket });
        } else if (object["kind"] === "over") {
          process.off("disconnect", gone);
          resolve();
        }
      });
    });
    this.#send({ kind: "ready" });
    await over;
  }

  up(): void {
    this.#send({ kind: "up" });
  }
}
