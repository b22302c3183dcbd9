/** What `POST /networks/create` is given (api/types/network: NetworkCreateRequest). */
import type { Labels } from "../../cluster/objects.ts";
import { type Codec, flag, labels, list, required, struct, text } from "./schema.ts";

/** One subnet as the user asked for it; empty for what was left to the driver. */
export interface RequestedIPAMConfig {
  readonly subnet: string;
  readonly ipRange: string;
  readonly gateway: string;
  readonly auxAddresses: Labels;
}

interface RequestedIPAM {
  readonly driver: string;
  readonly options: Labels;
  readonly config: readonly RequestedIPAMConfig[];
}

export interface NetworkCreateRequest {
  readonly name: string;
  readonly driver: string;
  readonly scope: string;
  readonly internal: boolean;
  readonly attachable: boolean;
  readonly ingress: boolean;
  readonly configOnly: boolean;
  readonly configFrom: { readonly network: string };
  readonly enableIPv6: boolean;
  readonly ipam: RequestedIPAM;
  readonly options: Labels;
  readonly labels: Labels;
}

const NO_IPAM: RequestedIPAM = { driver: "", options: {}, config: [] };

const ipam: Codec<RequestedIPAM> = struct<RequestedIPAM>("network.IPAM", {
  driver: required("Driver", text, ""),
  options: required("Options", labels, {}),
  config: required(
    "Config",
    list(
      struct<RequestedIPAMConfig>("network.IPAMConfig", {
        subnet: required("Subnet", text, ""),
        ipRange: required("IPRange", text, ""),
        gateway: required("Gateway", text, ""),
        auxAddresses: required("AuxiliaryAddresses", labels, {}),
      }),
    ),
    [],
  ),
});

export const networkCreateRequest: Codec<NetworkCreateRequest> = struct<NetworkCreateRequest>(
  "types.NetworkCreateRequest",
  {
    name: required("Name", text, ""),
    driver: required("Driver", text, ""),
    scope: required("Scope", text, ""),
    internal: required("Internal", flag, false),
    attachable: required("Attachable", flag, false),
    ingress: required("Ingress", flag, false),
    configOnly: required("ConfigOnly", flag, false),
    configFrom: required(
      "ConfigFrom",
      struct<{ readonly network: string }>("network.ConfigReference", {
        network: required("Network", text, ""),
      }),
      { network: "" },
    ),
    enableIPv6: required("EnableIPv6", flag, false),
    ipam: required("IPAM", ipam, NO_IPAM),
    options: required("Options", labels, {}),
    labels: required("Labels", labels, {}),
  },
);
