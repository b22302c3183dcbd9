/** The keeper alone, as a process of a lab host: `keeper-program.ts DATA-DIR VERSION`. */
import { runKeeper } from "../../src/keeper/main.ts";

const [dataDir = "/var/lib/weft", version = "test"] = process.argv.slice(2);
await runKeeper({ dataDir, version, logLevel: "debug" });
