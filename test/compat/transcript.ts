/** Types the steps at whoever answers, and brings the answers into a form that two programs can agree in. */
import { fileURLToPath } from "node:url";
import type { RunOptions, RunResult } from "../../src/lab/process.ts";
import { until } from "../../src/lab/until.ts";
import type { Step } from "./steps/step.ts";
import { STEPS } from "./steps.ts";

/** Compose files with what they refer to. */
const STACK = fileURLToPath(new URL("stack", import.meta.url));

/** Roots of a user's own, with their keys. */
const CA = fileURLToPath(new URL("ca", import.meta.url));

/** Longer than any step takes on a machine that does other things as well. */
const STEP_MS = 60_000;

export interface Answer {
  readonly command: string;
  readonly code: number;
  readonly output: string;
}

export type Docker = (args: readonly string[], options: RunOptions) => Promise<RunResult>;

/** All steps, one after the other, at a host of this address that is in no swarm. */
export async function playSteps(docker: Docker, ip: string): Promise<readonly Answer[]> {
  const answers: Answer[] = [];
  for (const step of STEPS) answers.push(await play(docker, step, ip));
  return answers;
}

async function play(docker: Docker, step: Step, ip: string): Promise<Answer> {
  const args = step.args.map((word) =>
    word.replace("{ip}", ip).replace("{stack}", STACK).replace("{ca}", CA),
  );
  const { apiVersion, stdin } = step;
  const options = {
    ...(stdin === undefined ? {} : { stdin }),
    ...(apiVersion === undefined ? {} : { env: { DOCKER_API_VERSION: apiVersion } }),
  };
  const typed = `docker ${step.args.map(quoted).join(" ")}`;
  const command = apiVersion === undefined ? typed : `DOCKER_API_VERSION=${apiVersion} ${typed}`;
  let last: RunResult | undefined;
  const look = async () => {
    last = await docker(args, options);
    return (step.until?.test(last.stdout) ?? true) && last;
  };
  const result = await until(look, { what: command, timeoutMs: STEP_MS }).catch((error) => {
    if (last === undefined) throw error;
    return last;
  });
  const { code, stdout, stderr } = result;
  if (step.silent === true) return { command, code, output: "" };
  if (step.shape === true && code === 0) return { command, code, output: shapeOf(stdout) };
  return { command, code, output: normalised(`${stdout}${stderr}`, ip) };
}

/** Ids, times, addresses and widths of columns are everybody's own. */
function normalised(text: string, ip: string): string {
  return (
    text
      .replaceAll(/SWMTKN-1-[0-9a-z]{50}-[0-9a-z]{25}/g, "<token>")
      .replaceAll(/-----BEGIN CERTIFICATE-----[^]*?-----END CERTIFICATE-----/g, "<certificate>")
      .replaceAll(ip, "<ip>")
      .replaceAll(STACK, "<stack>")
      .replaceAll(CA, "<ca>")
      .replaceAll(/\b[0-9a-z]{25}\b/g, "<id>")
      .replaceAll(/\b(?=[0-9a-z]*\d)[0-9a-z]{12}\b/g, "<id>")
      // One in thirty has no digit in it; these stand in a table's first column.
      .replaceAll(/^[0-9a-z]{12}(?= )/gm, "<id>")
      .replaceAll(/\b(?:\d+|About an?|Less than a|less than a) (?:second|minute)s? ago/g, "<when>")
      .replaceAll(/"20\d\d-[^"]+"/g, '"<time>"')
      .split("\n")
      .map((line) => line.replaceAll(/[ \t]+/g, " ").trim())
      .filter((line) => line !== "")
      .join("\n")
  );
}

/** One line per field, as `[].Spec.Name string`, sorted; keys that users chose stand among them. */
function shapeOf(json: string): string {
  const lines = new Set<string>();
  walk(JSON.parse(json), "", lines);
  return [...lines].sort((a, b) => (a < b ? -1 : 1)).join("\n");
}

function walk(value: unknown, path: string, lines: Set<string>): void {
  if (Array.isArray(value)) {
    for (const item of value) walk(item, `${path}[]`, lines);
    if (value.length === 0) lines.add(`${path} []`);
  } else if (typeof value === "object" && value !== null) {
    const entries = Object.entries(value);
    for (const [key, item] of entries) walk(item, `${path}.${key}`, lines);
    if (entries.length === 0) lines.add(`${path} {}`);
  } else {
    lines.add(`${path} ${value === null ? "null" : typeof value}`);
  }
}

function quoted(word: string): string {
  return /^[\w./:=,@%+{}-]+$/.test(word) ? word : `'${word}'`;
}
