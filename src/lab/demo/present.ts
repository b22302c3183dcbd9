/** The tour from first word to last: what a terminal gets, what stays up, and the exit code. */
import type { Lab } from "../lab.ts";
import { interruption, stayUp } from "../stay-up.ts";
import { createScreen, type Screen } from "./screen.ts";
import { runTour } from "./tour.ts";

/** Resolves with the exit code: 0 only if every step was right. */
export async function presentDemo(out: NodeJS.WriteStream): Promise<number> {
  const screen = createScreen(out);
  const interrupted = interruption();
  const { lab, wrong } = await runTour(screen, interrupted);
  try {
    summarize(screen, wrong);
    if (out.isTTY && !interrupted.aborted) {
      explainLab(screen, lab);
      await stayUp(interrupted);
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
