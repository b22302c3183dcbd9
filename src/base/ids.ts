/**
 * Identifiers: 25 characters of base36, as SwarmKit makes them (identity/randomid.go), from the
 * system's secure randomness. The brands keep one kind from being passed for another.
 */
import { createHash, randomBytes } from "node:crypto";

export type ClusterID = string & { readonly brand: "ClusterID" };
export type NodeID = string & { readonly brand: "NodeID" };
export type ServiceID = string & { readonly brand: "ServiceID" };
export type TaskID = string & { readonly brand: "TaskID" };
export type AttachmentID = string & { readonly brand: "AttachmentID" };
export type NetworkID = string & { readonly brand: "NetworkID" };
export type SecretID = string & { readonly brand: "SecretID" };
export type ConfigID = string & { readonly brand: "ConfigID" };

/** 124.1 random bits: the most that always fit in 25 characters of base36. */
const ID_LENGTH = 25;
const ID_BASE = 36n;

export function newID<Brand extends string>(): Brand {
  return idOf(randomBytes(ID_BYTES)) as Brand;
}

/** The same bytes, the same id; nobody can choose bytes that have another's. */
export function derivedID<Brand extends string>(bytes: Uint8Array): Brand {
  return idOf(createHash("sha256").update(bytes).digest().subarray(0, ID_BYTES)) as Brand;
}

const ID_BYTES = 16;

function idOf(bytes: Buffer): string {
  const value = BigInt(`0x${bytes.toString("hex")}`) % ID_BASE ** BigInt(ID_LENGTH);
  return value.toString(36).padStart(ID_LENGTH, "0");
}
