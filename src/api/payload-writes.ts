/**
 * How secrets and configs get into the store and out of it, and what a service's references to them must be.
 * Checks and texts are SwarmKit's (manager/controlapi: secret.go, config.go, service.go). Pure but for the
 * transaction they are handed.
 */
import { InvalidParameterError } from "../base/errors.ts";
import { newID } from "../base/ids.ts";
import { findConfig, findSecret } from "../cluster/finders.ts";
import type { ContainerSpec, PayloadSpec, Service } from "../cluster/objects.ts";
import type { Snapshot, Transaction } from "../cluster/store.ts";
import { outOfSequence, rpcError } from "./errors.ts";
import { isNamedLike } from "./names.ts";
import { base64Length } from "./wire/base64.ts";

export type PayloadKind = "secret" | "config";

const MAX_NAME_LENGTH = 64;
const NAME = /^[a-zA-Z0-9](?:[-_.a-zA-Z0-9]*[a-zA-Z0-9])?$/;

/** In bytes; Docker's text says "less than" and allows as many. */
const MAX_BYTES = { secret: 512_000, config: 1_024_000 } as const;

/** Puts a new secret or config; returns its id. */
export function createPayload(tx: Transaction, kind: PayloadKind, spec: PayloadSpec): string {
  if (spec.name === "") throw rpcError("InvalidArgument", "name must be provided");
  if (!NAME.test(spec.name) || spec.name.length > MAX_NAME_LENGTH) {
    throw rpcError(
      "InvalidArgument",
      `invalid name, only ${MAX_NAME_LENGTH} [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]`,
    );
  }
  const length = base64Length(spec.data);
  if (length === 0 || length > MAX_BYTES[kind]) {
    throw rpcError(
      "InvalidArgument",
      `${kind} data must be larger than 0 and less than ${MAX_BYTES[kind]} bytes`,
    );
  }
  if (tx.list(kind).some((other) => isNamedLike(other.spec.name, spec.name))) {
    throw rpcError("AlreadyExists", `${kind} ${spec.name} already exists`);
  }
  const id = newID<never>();
  tx.put(kind, { id, spec });
  return id;
}

export interface PayloadUpdate {
  readonly reference: string;
  readonly version: number;
  readonly spec: PayloadSpec;
}

/** Changes its labels: nothing else of it may change. */
export function updatePayload(
  tx: Transaction,
  kind: PayloadKind,
  { reference, version, spec }: PayloadUpdate,
): void {
  const stored = findPayload(tx, kind, reference);
  if (stored.version.index !== version) throw outOfSequence();
  const sameData = spec.data === "" || spec.data === stored.spec.data;
  if (spec.name !== stored.spec.name || !sameData) {
    throw rpcError("InvalidArgument", "only updates to Labels are allowed");
  }
  const { version: _, createdAt: __, updatedAt: ___, ...kept } = stored;
  tx.putWritten(kind, { ...kept, spec: { ...stored.spec, labels: spec.labels } } as never);
}

/** Removes it, unless a service's spec refers to it. */
export function removePayload(tx: Transaction, kind: PayloadKind, reference: string): void {
  const { id, spec } = findPayload(tx, kind, reference);
  const users = tx.list("service").filter((service) => refersTo(service, kind, id));
  if (users.length > 0) {
    const services = users.length === 1 ? "service" : "services";
    const names = users.map((service) => service.spec.name).join(", ");
    throw rpcError(
      "InvalidArgument",
      `${kind} '${spec.name}' is in use by the following ${services}: ${names}`,
    );
  }
  tx.delete(kind, id);
}

export function findPayload(snapshot: Snapshot, kind: PayloadKind, reference: string) {
  return kind === "secret" ? findSecret(snapshot, reference) : findConfig(snapshot, reference);
}

/** What is wrong with a container's references, whatever is in the cluster. */
export function validateReferences(container: ContainerSpec): void {
  for (const { file } of referencesOf(container, "config")) {
    if (file === undefined) {
      throw new InvalidParameterError("invalid Config: either File or Runtime should be set");
    }
  }
  for (const kind of ["secret", "config"] as const) {
    const nameByTarget = new Map<string, string>();
    for (const { id, name, file } of referencesOf(container, kind)) {
      if (id === "" || name === "") throw malformed(`malformed ${kind} reference`);
      if (file === undefined) {
        throw malformed(`malformed ${kind} reference, no target provided`);
      }
      if (file.name === "") {
        throw malformed(`malformed file ${kind} reference, invalid target file name provided`);
      }
      const other = nameByTarget.get(file.name);
      if (other !== undefined) {
        throw malformed(
          `${kind} references '${other}' and '${name}' have a conflicting target: '${file.name}'`,
        );
      }
      nameByTarget.set(file.name, name);
    }
  }
}

/** That everything which the container refers to is there, under the names that it gives. */
export function checkReferences(snapshot: Snapshot, container: ContainerSpec): void {
  for (const kind of ["secret", "config"] as const) {
    const missing = referencesOf(container, kind)
      .filter(({ id, name }) => snapshot.get(kind, id)?.spec.name !== name)
      .map(({ name }) => name);
    if (missing.length === 0) continue;
    const things = missing.length === 1 ? kind : `${kind}s`;
    throw rpcError("InvalidArgument", `${things} not found: ${missing.join(", ")}`);
  }
}

function refersTo(service: Service, kind: PayloadKind, id: string): boolean {
  const { containerSpec } = service.spec.taskTemplate;
  return referencesOf(containerSpec, kind).some((reference) => reference.id === id);
}

function referencesOf({ secrets = [], configs = [] }: ContainerSpec, kind: PayloadKind) {
  if (kind === "secret") {
    return secrets.map(({ secretID, secretName, file }) => ({
      id: secretID as string,
      name: secretName,
      file,
    }));
  }
  return configs.map(({ configID, configName, file }) => ({
    id: configID as string,
    name: configName,
    file,
  }));
}

function malformed(description: string): Error {
  return rpcError("InvalidArgument", description);
}
