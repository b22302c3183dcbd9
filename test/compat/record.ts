/**
 * Records what a real Engine in swarm mode answers: `node test/compat/record.ts`, as root. A host of the lab runs
 * the Engine that this machine has; the answers go into recorded.json, with the Engine's version.
 */
import { writeFileSync } from "node:fs";
import { compatLab } from "./host.ts";
import { playSteps } from "./transcript.ts";

const { lab, host } = await compatLab();
await using _ = lab;
const format = "{{.Server.Version}} {{.Client.Version}}";
const [engine = "", cli = ""] = (await host.engineOk(["version", "--format", format]))
  .trim()
  .split(" ");
const answers = await playSteps((args, options) => host.engine(args, options), host.ip);
const text = JSON.stringify({ engine, cli, answers }, undefined, 2);
writeFileSync(new URL("recorded.json", import.meta.url), `${text}\n`);
process.stdout.write(`${answers.length} answers of Engine ${engine} by CLI ${cli} recorded\n`);
