/**
 * Records what a real Engine answers: `node src/api/recorded/record.ts unix:///path/docker.sock`, with an Engine
 * that has just run `docker swarm init` and nothing else. Writes refusals.json beside this file.
 */
import { writeFileSync } from "node:fs";
import { playCases } from "./play.ts";

const [host] = process.argv.slice(2);
if (host === undefined) throw new Error("say which Engine: unix:///path/docker.sock");
const refusals = await playCases(host);
const text = JSON.stringify(refusals, undefined, 2);
writeFileSync(new URL("refusals.json", import.meta.url), `${text}\n`);
console.log(`${refusals.length} answers recorded`);
