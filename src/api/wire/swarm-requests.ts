/** What `swarm init` and `swarm join` send (api/types/swarm/swarm.go). */
import { DEFAULT_CLUSTER_SPEC } from "../../cluster/initial-objects.ts";
import { NODE_AVAILABILITIES } from "../../cluster/objects.ts";
import type { InitRequest, JoinRequest } from "../backend.ts";
import { clusterSpec } from "./cluster.ts";
import { type Codec, flag, list, oneOf, required, struct, text, uint32 } from "./schema.ts";

const texts = list(text);

const availability = required(
  "Availability",
  oneOf("swarm.NodeAvailability", NODE_AVAILABILITIES, (word) => `invalid Availability: "${word}"`),
  "active",
);

/** `AutoLockManagers` stands beside the spec and means the same as within. */
export const initRequest: Codec<InitRequest> = struct<InitRequest>(
  "swarm.InitRequest",
  {
    listenAddr: required("ListenAddr", text, ""),
    advertiseAddr: required("AdvertiseAddr", text, ""),
    dataPathAddr: required("DataPathAddr", text, ""),
    dataPathPort: required("DataPathPort", uint32, 0),
    forceNewCluster: required("ForceNewCluster", flag, false),
    spec: required("Spec", clusterSpec, DEFAULT_CLUSTER_SPEC),
    availability,
    defaultAddrPool: required("DefaultAddrPool", texts, []),
    subnetSize: required("SubnetSize", uint32, 0),
  },
  {
    refused: {
      AutoLockManagers:
        "autolock is not supported by Weft: protect the manager's data directory by the host's own means",
    },
  },
);

export const joinRequest: Codec<JoinRequest> = struct<JoinRequest>("swarm.JoinRequest", {
  listenAddr: required("ListenAddr", text, ""),
  advertiseAddr: required("AdvertiseAddr", text, ""),
  dataPathAddr: required("DataPathAddr", text, ""),
  remoteAddrs: required("RemoteAddrs", texts, []),
  joinToken: required("JoinToken", text, ""),
  availability,
});
