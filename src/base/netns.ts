/**
 * Opening a kernel socket in another network namespace, in process: a socket stays in the namespace that it was made
 * in, so the thread is there for some microseconds only.
 */
import { closeSync, openSync } from "node:fs";
import { CallError, libc } from "./libc.ts";

const CLONE_NEWNET = 0x40000000;
const OWN_NAMESPACE = "/proc/thread-self/ns/net";

/**
 * Runs `work` in the network namespace of that file. It must not wait, spawn or start a thread: whatever begins within
 * the window would live in the other namespace, and /proc/net is of it for all threads of the process. A thread that cannot come back ends the process, for everything it
 * would do from then on would hit the wrong host.
 */
export function inNetworkNamespace<T>(path: string, work: () => T): T {
  const { setns } = libc();
  const own = openSync(OWN_NAMESPACE, "r");
  try {
    const other = openSync(path, "r");
    try {
      const entered = setns(other, CLONE_NEWNET);
      if (entered < 0) throw new CallError(`cannot enter ${path}`, entered);
    } finally {
      closeSync(other);
    }
    try {
      return work();
    } finally {
      if (setns(own, CLONE_NEWNET) !== 0) process.abort();
    }
  } finally {
    closeSync(own);
  }
}
