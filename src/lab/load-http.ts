/** Requests of a load over HTTP, each on a fresh connection or all on kept ones. */
import { Agent, get } from "node:http";
import type { Asking, LoadPlan, Outcome } from "./load-plan.ts";

export function httpAsking({ keepAlive, timeoutMs }: LoadPlan): Asking {
  const agent = keepAlive ? new Agent({ keepAlive: true, maxSockets: 1 }) : undefined;
  return {
    ask: (url) => ask(url, agent, timeoutMs),
    close: () => agent?.destroy(),
  };
}

function ask(url: URL, agent: Agent | undefined, timeoutMs: number): Promise<Outcome> {
  return new Promise((resolve) => {
    let answered = false;
    let isLate = false;
    const deadline = setTimeout(() => {
      isLate = true;
      request.destroy(new Error("timeout"));
    }, timeoutMs);
    const request = get(url, { agent: agent ?? false }, (response) => {
      answered = true;
      let body = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (body += chunk));
      response.once("error", fail);
      response.once("end", () => {
        clearTimeout(deadline);
        const error = response.statusCode === 200 ? undefined : `status ${response.statusCode}`;
        resolve({ error, firstLine: body.split("\n", 1)[0] ?? "", closedBeforeAnswer: false });
      });
    });
    request.once("error", fail);
    function fail(cause: NodeJS.ErrnoException) {
      clearTimeout(deadline);
      const error = isLate ? "timeout" : (cause.code ?? cause.message);
      const closed = error === "ECONNRESET" || error === "EPIPE";
      const closedBeforeAnswer = closed && request.reusedSocket && !answered;
      resolve({ error, firstLine: "", closedBeforeAnswer });
    }
  });
}
