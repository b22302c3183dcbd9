/**
 * `node prober.ts INTERVAL TARGET=URL…`, in a client: asks every target each INTERVAL milliseconds on a
 * fresh connection, and prints one line of JSON for each answer or failure.
 */
import { get } from "node:http";
import type { Sample } from "./answers.ts";

const [interval = "10", ...targets] = process.argv.slice(2);
/** An answer later than this counts as none. */
const TIMEOUT_MS = 5_000;

for (const target of targets) {
  const [name = "", url = ""] = target.split("=");
  setInterval(() => ask(name, url), Number(interval));
}

function ask(target: string, url: string): void {
  const at = Date.now();
  const start = performance.now();
  const say = (fields: Pick<Sample, "task"> | Pick<Sample, "error">) => {
    const sample: Sample = { at, tookMs: performance.now() - start, target, ...fields };
    process.stdout.write(`${JSON.stringify(sample)}\n`);
  };
  const request = get(url, { agent: false, timeout: TIMEOUT_MS }, (response) => {
    let body = "";
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => {
      body += chunk;
    });
    response.once("error", (error) => say({ error: error.message }));
    response.once("end", () => {
      const task = /^task (.*)$/m.exec(body)?.[1];
      say(task === undefined ? { error: `status ${response.statusCode}` } : { task });
    });
  });
  request.once("timeout", () => request.destroy(new Error("no answer in time")));
  request.once("error", (error: NodeJS.ErrnoException) =>
    say({ error: error.code ?? error.message }),
  );
}
