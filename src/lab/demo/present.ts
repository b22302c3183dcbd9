/** The tour from first word to last: what a terminal gets, what stays up, and the exit code. */
import { once } from "node:events";
import type { Lab } from "../lab.ts";
import { createScreen, type Screen } from "./screen.ts";
import { runTour } from "./tour.ts";

/** Resolves with the exit code: 0 only if every step was right. */
export async function presentDemo(out: NodeJS.WriteStream): Promise<number> {
  const screen = createScreen(out);
  const interrupted = new AbortController();
  const onSignal = () => interrupted.abort(new Error("interrupted"));
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  const { lab, wrong } = await runTour(screen, interrupted.signal);
  try {
    summarize(screen, wrong);
    if (out.isTTY && !interrupted.signal.aborted) {
      explainLab(screen, lab);
      await once(interrupted.signal, "abort");
    }
  } finally {
    screen.note("Taking the hosts down …");
    await lab[Symbol.asyncDispose]();
  }
  return wrong === 0 ? 0 : 1;
}

function summarize(screen: Screen, wrong: number): void {
  screen.title("The tour ends");
  if (wrong === 0) screen.right("every step was right");
  else screen.wrong(`${wrong} ${wrong === 1 ? "check was" : "checks were"} wrong`);
}

function explainLab(screen: Screen, lab: Lab): void {
  const [first] = lab.hosts;
  if (first === undefined) return;
  screen.note(`
The hosts stay up until Ctrl-C. From another terminal, as root:

   docker -H unix://${first.weftSocket} service ls
   docker -H unix://${first.weftSocket} service scale my-web=3
   nsenter -t ${lab.client().pid} -n curl http://${lab.host(2).ip}:8080/      # as the client
   nsenter -t ${lab.host(3).pid} -n curl http://127.0.0.1:8080/       # on n3 itself

A shell inside a host: sh ${first.runDir}/enter`);
}
