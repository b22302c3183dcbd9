/** The keeper alone, as a process of a lab host: `keeper-program.ts VERSION keeper --data-dir DIR --log-level LEVEL`. */
import { parseArgs } from "node:util";
import { LOG_LEVELS } from "../../src/base/logger.ts";
import { runKeeper } from "../../src/keeper/main.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { "data-dir": { type: "string" }, "log-level": { type: "string" } },
});
const logLevel = LOG_LEVELS.find((level) => level === values["log-level"]) ?? "debug";
const [version = "v1"] = positionals;
await runKeeper({ dataDir: values["data-dir"] ?? "/var/lib/weft", version, logLevel });
