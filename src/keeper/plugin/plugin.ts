/** Takes the Engine's calls one by one: the pure driver decides, the links are changed, the state is saved, then the Engine is answered. */
import { applyLinkEffect, linkExists } from "../links.ts";
import type { KeeperState } from "../state.ts";
import type { StateKeeper } from "../state-keeper.ts";
import { handle } from "./driver.ts";
import type { PluginRequest } from "./requests.ts";

export interface PluginComponents {
  readonly states: StateKeeper;
  /** Resolves when containers have what belongs to their endpoints: before that none of their programs runs. */
  readonly onEndpoints: (state: KeeperState) => Promise<void>;
}

export class Plugin {
  readonly #components: PluginComponents;

  constructor(components: PluginComponents) {
    this.#components = components;
  }

  async answer(request: PluginRequest): Promise<Readonly<Record<string, unknown>>> {
    const { states, onEndpoints } = this.#components;
    const response = await states.change(async (state) => {
      const result = handle(state, request, { linkExists });
      for (const effect of result.effects) await applyLinkEffect(effect);
      return { state: result.state, value: result.response };
    });
    if (request.kind === "endpoint.join" || request.kind === "endpoint.leave") {
      await onEndpoints(states.current);
    }
    return response;
  }
}
