/** What a daemon does about its keeper, as a process of a lab host: `keeper-launcher.ts VERSION DATA-DIR` stays until it is killed. */
import { createLogger } from "../../src/base/logger.ts";
import { ensureKeeper } from "../../src/keeper/launch.ts";

const PROGRAM = new URL("./keeper-program.ts", import.meta.url).pathname;

const [version = "v1", dataDir = "/var/lib/weft"] = process.argv.slice(2);
const executable = [process.execPath, "--disable-warning=ExperimentalWarning", PROGRAM, version];
const log = createLogger();
const keeper = await ensureKeeper({ dataDir, version, executable, log, logLevel: "debug" });
process.stdout.write(`keeper ${(await keeper.status()).pid}\n`);
if (process.argv.includes("--stay")) setInterval(() => {}, 60_000);
