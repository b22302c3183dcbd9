/** The host's own settings that Weft changes: remembered as they were found, and put back by a reset. Those of Weft's links go with the links. */
import {
  type HostFacts,
  linkOfAcceptRA,
  SYSCTL_COUNT_FLOWS,
  SYSCTL_IP_FORWARD,
  SYSCTL_IP6_FORWARD,
} from "./facts.ts";
import type { NetworkCommand } from "./ip/command.ts";
import { type IPv6Host, readIPv6Host } from "./ipv6-host.ts";
import { SettingsMemo } from "./settings-memo.ts";
import { readSysctl, writeSysctl } from "./sysctl.ts";

const IS_THE_HOSTS = new RegExp(
  `^(${SYSCTL_IP_FORWARD}|${SYSCTL_IP6_FORWARD}|${SYSCTL_COUNT_FLOWS}|.*/accept_ra)$`,
);

export class HostSettings {
  readonly #memo: SettingsMemo;

  /** `memoPath` is a file that lives as long as the host is up. */
  constructor(memoPath: string) {
    this.#memo = new SettingsMemo(memoPath);
  }

  /** Before these commands change them. */
  async remember(commands: readonly NetworkCommand[]): Promise<void> {
    const found: [string, string][] = [];
    for (const one of commands) {
      if (one.kind !== "sysctl.set" || !IS_THE_HOSTS.test(one.path)) continue;
      const value = one.from ?? readSysctl(one.path);
      if (value !== undefined && value !== one.value) found.push([one.path, value]);
    }
    await this.#memo.remember(found);
  }

  /** What was changed last is put back last: a link takes router advertisements again once the host does not forward. */
  async restore(): Promise<void> {
    const found = [...(await this.#memo.found())];
    const isForwarding = ([path]: [string, string]) => !path.endsWith("/accept_ra");
    for (const [path, value] of [...found.filter(isForwarding), ...found]) {
      // A link may have gone since.
      if (readSysctl(path) !== undefined) await writeSysctl(path, value);
    }
    await this.#memo.forget();
  }

  /** How the host is set for IPv6, and how it was: once Weft has made it forward, only the memo knows that. */
  async readIPv6(
    isLink: (name: string) => boolean,
    isToForward: boolean,
  ): Promise<Pick<IPv6Host, "isEnabled"> & Pick<HostFacts, "advertised" | "isOurForwarding6">> {
    const host = await readIPv6Host(isToForward);
    const found = await this.#memo.found();
    const remembered = [...found.keys()]
      .flatMap((path) => linkOfAcceptRA(path) ?? [])
      .filter(isLink);
    return {
      isEnabled: host.isEnabled,
      advertised: [...new Set([...remembered, ...host.advertised])].sort(),
      isOurForwarding6: !host.isForwarding || found.has(SYSCTL_IP6_FORWARD),
    };
  }
}
