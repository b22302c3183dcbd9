/**
 * Run inside a client's namespaces, by asker.ts: asks each `HOST=URL` in turn, each time on a fresh
 * connection, and prints one JSON line an answer (asker.ts: Sample).
 */
import { request } from "node:http";

const [intervalMs, ...targets] = process.argv.slice(2);
/** An answer later than this counts as none. */
const TIMEOUT_MS = 5_000;

let turn = 0;
setInterval(() => ask(targets[turn++ % targets.length] ?? ""), Number(intervalMs) / targets.length);

function ask(target: string): void {
  const [host, url = ""] = target.split("=");
  const start = performance.now();
  const say = (fields: Record<string, unknown>) =>
    void process.stdout.write(
      `${JSON.stringify({ host, tookMs: performance.now() - start, ...fields })}\n`,
    );
  const call = request(url, { agent: false, timeout: TIMEOUT_MS }, (response) => {
    let body = "";
    response.setEncoding("utf8");
    response.on("data", (chunk: string) => {
      body += chunk;
    });
    response.on("error", (error) => say({ ok: false, error: error.message }));
    response.on("end", () => {
      const field = (name: string) => new RegExp(`^${name} (.*)$`, "m").exec(body)?.[1];
      say({ ok: response.statusCode === 200, task: field("task"), client: field("client") });
    });
  });
  call.on("timeout", () => call.destroy(new Error("no answer within 5 s")));
  call.on("error", (error) => say({ ok: false, error: error.message }));
  call.end();
}
