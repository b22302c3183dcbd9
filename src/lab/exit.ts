/**
 * Cleaning up when the process ends without having disposed of its labs. The processes of a lab
 * die with this one in any case (see namespaces.ts); this takes its directories too.
 */
import { messageOf } from "../base/errors.ts";

/** Must work synchronously: nothing asynchronous runs any more when a process exits. */
export type CleanUp = () => void;

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
const pending = new Set<CleanUp>();

/** Runs `cleanUp` when this process exits, also by an uncaught error or a signal; returns what takes it back. */
export function cleanUpAtExit(cleanUp: CleanUp): () => void {
  if (pending.size === 0) {
    process.on("exit", runPending);
    // First in line, so that it sees the others before one that listens once is gone.
    for (const signal of SIGNALS) process.prependListener(signal, onSignal);
  }
  pending.add(cleanUp);
  return () => {
    if (!pending.delete(cleanUp) || pending.size > 0) return;
    process.off("exit", runPending);
    for (const signal of SIGNALS) process.off(signal, onSignal);
  };
}

function runPending(): void {
  for (const cleanUp of [...pending]) {
    pending.delete(cleanUp);
    try {
      cleanUp();
    } catch (error) {
      process.stderr.write(`lab: not all was removed: ${messageOf(error)}\n`);
    }
  }
}

function onSignal(signal: NodeJS.Signals): void {
  // Whoever else listens decides when to end, as a demo does on Ctrl-C; its exit cleans up.
  if (process.listenerCount(signal) > 1) return;
  runPending();
  for (const name of SIGNALS) process.off(name, onSignal);
  process.kill(process.pid, signal);
}
