/**
 * How a network is made on the local Engine, in the words of its API: what the agent asks for and the plugin reads.
 * A network without these options is a routed one, as the mesh's own: an address of its own to each task, no bridge.
 */

/** Of the driver (`--opt`) and of IPAM (`--ipam-opt`) alike; `overlay` is a bridged network. */
export const KIND_OPTION = "weft.kind";
export const KIND_OVERLAY = "overlay";
/** Of the driver: the bridged network's VXLAN network identifier. */
export const VNI_OPTION = "weft.vni";
/** Of the driver, Docker's own name: the MTU of its containers' links. */
export const MTU_OPTION = "com.docker.network.driver.mtu";

/** Below 4096 are other programs'; 4096 is the mesh's own; the field has 24 bits (RFC 7348 §5). */
export const VNI_MIN = 4097;
export const VNI_MAX = 2 ** 24 - 1;
