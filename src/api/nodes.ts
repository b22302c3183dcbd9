/** `/nodes`: the cluster's members. */
import { NotImplementedError, SystemError } from "../base/errors.ts";
import { findNode } from "../cluster/finders.ts";
import type { Node, NodeSpec } from "../cluster/objects.ts";
import type { Transaction } from "../cluster/store.ts";
import { type Answer, type ApiCall, bodyOf, boolParam, param, versionParam } from "./call.ts";
import { outOfSequence, rpcError } from "./errors.ts";
import { type Filters, parseFilters } from "./filters.ts";
import { requireManager } from "./manager.ts";
import { encodeNode, nodeSpec } from "./wire/node.ts";
import { decodeText } from "./wire/schema.ts";

const FILTERS = ["id", "label", "name", "node.label", "role", "membership"];

export function listNodes(call: ApiCall): Answer {
  const filters = parseFilters(call.query, FILTERS);
  checkWords(filters, "role", ["worker", "manager"]);
  checkWords(filters, "membership", ["accepted", "pending"]);
  const snapshot = requireManager(call.context).store.view();
  const nodes = snapshot.list("node").filter((node) => isListed(node, filters));
  return { status: 200, body: nodes.map(encodeNode) };
}

export function inspectNode(call: ApiCall): Answer {
  const snapshot = requireManager(call.context).store.view();
  const node = findNode(snapshot, param(call, "id"));
  return { status: 200, body: encodeNode(node) };
}

export async function postNodeUpdate(call: ApiCall): Promise<Answer> {
  const spec = decodeText(nodeSpec, (await bodyOf(call)).toString("utf8"));
  const version = versionParam(call.query, "node");
  const { store } = requireManager(call.context);
  await store.update((tx) => updateNode(tx, param(call, "id"), version, spec));
  return { status: 200 };
}

export async function deleteNode(call: ApiCall): Promise<Answer> {
  const force = boolParam(call.query, "force");
  const { store } = requireManager(call.context);
  await store.update((tx) => removeNode(tx, param(call, "id"), force));
  return { status: 200 };
}

function updateNode(tx: Transaction, reference: string, version: number, spec: NodeSpec): void {
  const node = findNode(tx, reference);
  if (node.version.index !== version) throw outOfSequence();
  if (node.spec.role !== spec.role) refuseRoleChange(tx, spec);
  tx.putWritten("node", { ...node, spec });
}

function refuseRoleChange(tx: Transaction, spec: NodeSpec): never {
  const managers = tx.list("node").filter((node) => node.spec.role === "manager");
  if (spec.role === "worker" && managers.length === 1) {
    throw rpcError("FailedPrecondition", "attempting to demote the last manager of the swarm");
  }
  throw new NotImplementedError(
    "several managers are not supported by Weft: a node keeps the role that it joined with",
  );
}

function removeNode(tx: Transaction, reference: string, force: boolean): void {
  const node = findNode(tx, reference);
  if (node.spec.role === "manager") {
    throw rpcError(
      "FailedPrecondition",
      `node ${node.id} is a cluster manager and is a member of the raft cluster. It must be demoted to worker before removal`,
    );
  }
  if (!force && node.status.state === "ready") {
    throw rpcError("FailedPrecondition", `node ${node.id} is not down and can't be removed`);
  }
  tx.delete("node", node.id);
}

function isListed(node: Node, filters: Filters): boolean {
  return (
    filters.prefix("id", [node.id]) &&
    filters.prefix("name", [node.description?.hostname ?? "", node.spec.name ?? ""]) &&
    filters.labels("label", node.description?.engine.labels ?? {}) &&
    filters.labels("node.label", node.spec.labels) &&
    filters.some("role", (role) => role.toLowerCase() === node.spec.role) &&
    // Whoever has joined is accepted: there are no pending members.
    filters.some("membership", (membership) => membership.toLowerCase() === "accepted")
  );
}

function checkWords(filters: Filters, name: string, known: readonly string[]): void {
  for (const word of filters.get(name)) {
    if (!known.includes(word.toLowerCase())) {
      throw new SystemError(`Invalid ${name} filter: '${word}'`);
    }
  }
}
