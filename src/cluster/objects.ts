/**
 * The cluster's objects, as the store holds them. Fields are Docker's, spelled as in its JSON with the
 * first letter lowered (`NodeID` is `nodeID`), so that code, wire and docs grep alike. Durations are
 * nanoseconds where Docker's JSON has them; times are RFC 3339 strings.
 *
 * Every field has one writer; docs/ARCHITECTURE.md has the table. Objects are never changed in place:
 * a new version is put through a store transaction.
 */

export type * from "./objects/cluster.ts";
export type * from "./objects/container-spec.ts";
export type * from "./objects/meta.ts";
export type * from "./objects/network.ts";
export * from "./objects/node.ts";
export type * from "./objects/payload.ts";
export * from "./objects/ports.ts";
export * from "./objects/service.ts";
export * from "./objects/task.ts";
