/** What a worker's daemon has in memory is what a worker needs: a stray import of a manager's library costs each host megabytes. */
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { test } from "node:test";
import { promisify } from "node:util";

/** Loads the daemon's modules as `weft daemon` does, and lists the packages that came with them. */
const PROGRAM = `
await import(${JSON.stringify(new URL("./daemon.ts", import.meta.url).href)});
const { createRequire } = process.getBuiltinModule("node:module");
const { cache } = createRequire(process.cwd() + "/x.js");
const packages = Object.keys(cache).flatMap((path) => /.*node_modules\\/((@[^/]+\\/)?[^/]+)/.exec(path)?.[1] ?? []);
const undici = process.moduleLoadList.filter((name) => name.includes("undici"));
console.log(JSON.stringify({ packages: [...new Set(packages)], undici }));
`;

test("a daemon loads neither the signing library nor Node's own HTTP client before it needs them", async () => {
  const args = ["--disable-warning=ExperimentalWarning", "--input-type=module", "-e", PROGRAM];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  const { packages, undici } = JSON.parse(stdout) as { packages: string[]; undici: string[] };
  assert.ok(packages.includes("@grpc/grpc-js"), `the list is not of what is loaded: ${stdout}`);
  assert.deepEqual(
    packages.filter((name) => /peculiar|reflect-metadata|tsyringe|asn1/.test(name)),
    [],
  );
  assert.deepEqual(undici, []);
});
