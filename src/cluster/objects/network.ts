/** Networks, and places in them for containers of users' own. */
import type { AttachmentID, NetworkID, NodeID } from "../../base/ids.ts";
import type { Labels, ObjectMeta } from "./meta.ts";

export interface IPAMConfig {
  readonly subnet: string;
  readonly ipRange?: string;
  readonly gateway?: string;
}

export interface NetworkSpec {
  readonly name: string;
  readonly labels: Labels;
  readonly driver: string;
  readonly driverOptions: Labels;
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly ingress: boolean;
  readonly ipv6Enabled: boolean;
}

export interface Network extends ObjectMeta {
  readonly id: NetworkID;
  readonly spec: NetworkSpec;
  readonly ipam: { readonly driver: string; readonly config: readonly IPAMConfig[] };
  /** VXLAN network identifier; 4096 is the ingress network's. */
  readonly vni: number;
}

/** A place in a network for a container that a user runs himself, on the node where he asked for it. */
export interface Attachment extends ObjectMeta {
  readonly id: AttachmentID;
  /** Written by the dispatcher, for the node that asks. */
  readonly networkID: NetworkID;
  readonly nodeID: NodeID;
  readonly containerName: string;
  readonly aliases: readonly string[];
  /** An IPv4 address that the user asked for. */
  readonly wanted?: string;
  /** With prefix lengths, IPv4 first; empty until given. Written by the allocator. */
  readonly addresses: readonly string[];
  /** Why none can be given. Written by the allocator. */
  readonly err?: string;
}
