/** The socket by which a process speaks with the kernel's netfilter. */
import { CallError, type Libc } from "../../base/libc.ts";
import { SOCK_CLOEXEC, SOCK_RAW } from "../../base/sockets.ts";

export const AF_NETLINK = 16;
const NETLINK_NETFILTER = 12;

/** It belongs to the network namespace that the thread is in. */
export function openNetlinkSocket({ socket }: Libc): number {
  const fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER);
  if (fd < 0) throw new CallError("no netlink socket", fd);
  return fd;
}
