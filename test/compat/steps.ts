/**
 * What a user types, in order: the same list for a real Engine in swarm mode, when its answers are recorded, and
 * for Weft. It begins outside of any swarm and ends there.
 */
import { AGES, EVENTS } from "./steps/clients.ts";
import { FLAGS } from "./steps/flags.ts";
import { NETWORK_EVENTS, NETWORKS } from "./steps/networks.ts";
import { NODES } from "./steps/nodes.ts";
import { PAYLOADS } from "./steps/payloads.ts";
import { HISTORY, JOBS, SERVICES } from "./steps/services.ts";
import { STACKS } from "./steps/stacks.ts";
import type { Step } from "./steps/step.ts";
import { AUTHORITIES, END, INITS, SWARM } from "./steps/swarm.ts";

export const STEPS: readonly Step[] = [
  ...SWARM,
  ...NODES,
  ...PAYLOADS,
  ...SERVICES,
  ...JOBS,
  ...EVENTS,
  ...NETWORKS,
  ...NETWORK_EVENTS,
  ...STACKS,
  ...FLAGS,
  ...HISTORY,
  ...AGES,
  ...AUTHORITIES,
  ...END,
  ...INITS,
];
