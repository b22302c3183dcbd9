/** `/secrets` and `/configs`: a manager has none, and says so when one is to be made. */
import { NotFoundError, NotImplementedError } from "../base/errors.ts";
import { type Answer, type ApiCall, bodyOf, param } from "./call.ts";
import { parseFilters } from "./filters.ts";
import { requireManager } from "./manager.ts";
import { parseJson } from "./wire/json.ts";

export type UnsupportedKind = "secret" | "config";

const FILTERS = ["name", "names", "id", "label"];

export function listNone(call: ApiCall): Answer {
  parseFilters(call.query, FILTERS);
  requireManager(call.context);
  return { status: 200, body: [] };
}

export function findNone(kind: UnsupportedKind): (call: ApiCall) => Answer {
  return (call) => {
    requireManager(call.context);
    throw new NotFoundError(`${kind} ${param(call, "id")} not found`);
  };
}

export function refuseToCreate(kind: UnsupportedKind): (call: ApiCall) => Promise<Answer> {
  return async (call) => {
    parseJson((await bodyOf(call)).toString("utf8"));
    requireManager(call.context);
    throw new NotImplementedError(`${kind}s are not supported by Weft`);
  };
}
