/** `/services`: what the user wants to run. */
import { SystemError } from "../base/errors.ts";
import { systemRandom } from "../base/random.ts";
import { findService } from "../cluster/finders.ts";
import type { Service, ServiceSpec } from "../cluster/objects.ts";
import type { Snapshot } from "../cluster/store.ts";
import {
  type Answer,
  type ApiCall,
  bodyOf,
  boolParam,
  param,
  strictBoolParam,
  versionParam,
} from "./call.ts";
import { parseFilters } from "./filters.ts";
import { requireManager } from "./manager.ts";
import { inventName, isNamedLike } from "./names.ts";
import { validateServiceSpec } from "./service-spec.ts";
import { encodeService, statusOfService, withDefaults } from "./service-view.ts";
import {
  createService,
  rollBackService,
  type ServiceWrite,
  updateService,
} from "./service-writes.ts";
import { decodeText } from "./wire/schema.ts";
import { serviceSpec } from "./wire/service.ts";

const FILTERS = ["name", "id", "label", "mode", "runtime"];

export function listServices(call: ApiCall): Answer {
  const filters = parseFilters(call.query, FILTERS);
  const withStatus = strictStatusParam(call);
  const snapshot = requireManager(call.context).store.view();
  const services = snapshot
    .list("service")
    .filter(
      ({ id, spec }) =>
        filters.prefix("id", [id]) &&
        filters.prefix("name", [spec.name]) &&
        filters.labels("label", spec.labels) &&
        filters.some("mode", (mode) => mode === modeOf(spec)) &&
        filters.some("runtime", (runtime) => runtime === "container"),
    );
  return {
    status: 200,
    body: services.map((service) => encodeListed(service, snapshot, withStatus)),
  };
}

export function inspectService(call: ApiCall): Answer {
  const insertDefaults = strictBoolParam(call.query, "insertDefaults");
  const snapshot = requireManager(call.context).store.view();
  const service = findService(snapshot, param(call, "id"));
  return { status: 200, body: encodeService(insertDefaults ? withDefaults(service) : service) };
}

export async function postService(call: ApiCall): Promise<Answer> {
  const given = await readSpec(call);
  const { store } = requireManager(call.context);
  const now = nowOf(call);
  const id = await store.update((tx) => {
    const spec = given.name === "" ? { ...given, name: freeName(tx) } : given;
    validateServiceSpec(spec);
    return createService(tx, { spec, now, ...registryAuthOf(call) });
  });
  return { status: 201, body: { ID: id } };
}

export async function postServiceUpdate(call: ApiCall): Promise<Answer> {
  const spec = await readSpec(call);
  const version = versionParam(call.query, "service");
  const { store } = requireManager(call.context);
  const rollback = rollbackParam(call.query);
  checkRegistryAuthFrom(call.query);
  validateServiceSpec(spec);
  const reference = param(call, "id");
  const update = { reference, version, now: nowOf(call), ...registryAuthOf(call) };
  await store.update((tx) => {
    if (rollback) rollBackService(tx, update);
    else updateService(tx, { ...update, spec });
  });
  return { status: 200, body: { Warnings: null } };
}

export async function deleteService(call: ApiCall): Promise<Answer> {
  const { store } = requireManager(call.context);
  await store.update((tx) => tx.delete("service", findService(tx, param(call, "id")).id));
  return { status: 200 };
}

function encodeListed(service: Service, snapshot: Snapshot, withStatus: boolean) {
  const encoded = encodeService(service);
  if (!withStatus) return encoded;
  const status = statusOfService(service, snapshot.tasksOfService(service.id));
  return { ...encoded, ServiceStatus: status };
}

async function readSpec(call: ApiCall): Promise<ServiceSpec> {
  return decodeText(serviceSpec, (await bodyOf(call)).toString("utf8"));
}

function nowOf(call: ApiCall): string {
  return new Date(call.context.clock.now()).toISOString();
}

function registryAuthOf(call: ApiCall): Pick<ServiceWrite, "registryAuth"> {
  const header = call.request.headers["x-registry-auth"];
  return typeof header === "string" && header !== "" ? { registryAuth: header } : {};
}

/** Without a header the credentials stay those that the service has, whichever of its specs the client names. */
function checkRegistryAuthFrom(query: URLSearchParams): void {
  if (!["", "spec", "previous-spec"].includes(query.get("registryAuthFrom") ?? "")) {
    throw new SystemError("unsupported registryAuthFrom value");
  }
}

function rollbackParam(query: URLSearchParams): boolean {
  const value = query.get("rollback") ?? "";
  if (value === "" || value === "previous") return value === "previous";
  throw new SystemError(`unrecognized rollback option ${value}`);
}

function strictStatusParam(call: ApiCall): boolean {
  return boolParam(call.query, "status") && strictBoolParam(call.query, "status");
}

function freeName(snapshot: Snapshot): string {
  const services = snapshot.list("service");
  return inventName(systemRandom, (name) =>
    services.some((service) => isNamedLike(service.spec.name, name)),
  );
}

function modeOf(spec: ServiceSpec): string {
  const { global, replicatedJob, globalJob } = spec.mode;
  if (replicatedJob !== undefined) return "replicated-job";
  if (globalJob !== undefined) return "global-job";
  return global === undefined ? "replicated" : "global";
}
