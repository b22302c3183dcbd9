/** Takes the Engine's calls one by one: the pure driver decides, the links are changed, the state is saved, then the Engine is answered. */
import { applyLinkEffect, linkExists } from "../links.ts";
import type { StateKeeper } from "../state-keeper.ts";
import { handle } from "./driver.ts";
import type { PluginRequest } from "./requests.ts";

export class Plugin {
  readonly #states: StateKeeper;

  constructor(states: StateKeeper) {
    this.#states = states;
  }

  answer(request: PluginRequest): Promise<Readonly<Record<string, unknown>>> {
    return this.#states.change(async (state) => {
      const result = handle(state, request, { linkExists });
      for (const effect of result.effects) await applyLinkEffect(effect);
      return { state: result.state, value: result.response };
    });
  }
}
