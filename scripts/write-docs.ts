/** Writes the pages of docs/ that are made from code. `npm run docs`. */
import { writeFileSync } from "node:fs";
import { routesDocument } from "../src/api/routes-document.ts";

writeFileSync(new URL("../docs/API.md", import.meta.url), routesDocument());
