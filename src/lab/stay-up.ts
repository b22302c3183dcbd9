/** Waiting for Ctrl-C: a pending promise alone would not keep a process alive. */

const FOREVER_MS = 2_147_483_647;

/** Fires at the first SIGINT or SIGTERM from now on. */
export function interruption(): AbortSignal {
  const controller = new AbortController();
  const onSignal = () => controller.abort(new Error("interrupted"));
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, onSignal);
  return controller.signal;
}

/** Keeps the process alive until the signal fires. */
export async function stayUp(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  const alive = setInterval(() => {}, FOREVER_MS);
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  clearInterval(alive);
}
