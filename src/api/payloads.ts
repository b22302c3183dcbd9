/** `/secrets` and `/configs`: what users store for tasks to read as files. The two differ by what is shown of them. */
import { InvalidParameterError } from "../base/errors.ts";
import type { Config, PayloadSpec, Secret } from "../cluster/objects.ts";
import { type Answer, type ApiCall, bodyOf, type Handler, param } from "./call.ts";
import { parseFilters } from "./filters.ts";
import { requireManager } from "./manager.ts";
import {
  createPayload,
  findPayload,
  type PayloadKind,
  removePayload,
  updatePayload,
} from "./payload-writes.ts";
import { configSpec, encodeConfig, encodeSecret, secretSpec } from "./wire/payload.ts";
import { decodeText } from "./wire/schema.ts";

const FILTERS = ["name", "names", "id", "label"];

export function listPayloads(kind: PayloadKind): Handler {
  return (call) => {
    const filters = parseFilters(call.query, FILTERS);
    const { store } = requireManager(call.context);
    const found = (store.view().list(kind) as readonly (Secret | Config)[]).filter(
      ({ id, spec }) =>
        filters.prefix("id", [id]) &&
        filters.prefix("name", [spec.name]) &&
        filters.some("names", (name) => name === spec.name) &&
        filters.labels("label", spec.labels),
    );
    return { status: 200, body: found.map((payload) => encode(kind, payload)) };
  };
}

export function inspectPayload(kind: PayloadKind): Handler {
  return (call) => {
    const { store } = requireManager(call.context);
    return { status: 200, body: encode(kind, findPayload(store.view(), kind, param(call, "id"))) };
  };
}

export function postPayload(kind: PayloadKind): Handler {
  return async (call): Promise<Answer> => {
    const spec = await readSpec(kind, call);
    const { store } = requireManager(call.context);
    const id = await store.update((tx) => createPayload(tx, kind, spec));
    return { status: 201, body: { ID: id } };
  };
}

export function postPayloadUpdate(kind: PayloadKind): Handler {
  return async (call): Promise<Answer> => {
    const spec = await readSpec(kind, call);
    const text = call.query.get("version") ?? "";
    const version = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(version)) {
      throw new InvalidParameterError(`invalid ${kind} version`);
    }
    const { store } = requireManager(call.context);
    const reference = param(call, "id");
    await store.update((tx) => updatePayload(tx, kind, { reference, version, spec }));
    return { status: 200 };
  };
}

export function deletePayload(kind: PayloadKind): Handler {
  return async (call): Promise<Answer> => {
    const { store } = requireManager(call.context);
    await store.update((tx) => removePayload(tx, kind, param(call, "id")));
    return { status: 204 };
  };
}

function encode(kind: PayloadKind, payload: Secret | Config) {
  return kind === "secret" ? encodeSecret(payload as Secret) : encodeConfig(payload as Config);
}

async function readSpec(kind: PayloadKind, call: ApiCall): Promise<PayloadSpec> {
  const text = (await bodyOf(call)).toString("utf8");
  return decodeText(kind === "secret" ? secretSpec : configSpec, text);
}
