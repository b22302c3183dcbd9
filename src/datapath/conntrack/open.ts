/** Opens conntrack: in process where library and kernel can, else by the `conntrack` tool. */
import type { Clock } from "../../base/clock.ts";
import type { Logger } from "../../base/logger.ts";
import { inNetworkNamespace } from "../../base/netns.ts";
import type { RunTool } from "../run.ts";
import { type Conntrack, forgetConnections } from "./conntrack.ts";
import { FlowMeter } from "./flow-meter.ts";
import { openFlowSource } from "./flow-source.ts";
import { openConntrackSocket } from "./netlink.ts";

/** The kernel's own interface where it will do, else the tool, once and for the life of the process. */
export async function openConntrack(log: Logger, run: RunTool): Promise<Conntrack> {
  try {
    return await openConntrackSocket();
  } catch (error) {
    log.info("connections are forgotten by the conntrack tool", { error });
    return conntrackTool(run);
  }
}

/** That of another network namespace, given by its file; `run` runs a tool there. */
export async function openConntrackIn(path: string, run: RunTool): Promise<Conntrack> {
  try {
    return await openConntrackSocket((work) => inNetworkNamespace(path, work));
  } catch {
    // Said once, when the host's own was opened.
    return conntrackTool(run);
  }
}

/** Counting from now on; undefined where library or kernel cannot. */
export async function openFlowMeter(log: Logger, clock: Clock): Promise<FlowMeter | undefined> {
  try {
    const meter = new FlowMeter(openFlowSource(), clock);
    await meter.start();
    return meter;
  } catch (error) {
    log.warn("what published ports carry is not counted", { error });
    return undefined;
  }
}

export function conntrackTool(run: RunTool): Conntrack {
  return {
    forget: (forget) => forgetConnections(run, forget),
    // Only who can send any packet can do it.
    wake: async () => 0,
    // The tool copies the whole table out for it, and takes longer than an answer does.
    flows: async () => [],
    close: async () => {},
  };
}
