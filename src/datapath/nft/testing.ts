/** Rulesets that somebody meddled with, for properties. Imported by tests alone. */
import type { Chain, ElementSet, Ruleset } from "./ruleset.ts";

export type Meddling = "lost" | "changed" | "kept";

const STRANGE_RULE = { id: "nobody:knows", text: "drop" };

/**
 * Tables, chains, rules and elements are lost; rules are put where none belongs, and elements have each other's values.
 * What led to a chain goes with it: the kernel lets no chain go that something leads to.
 */
export function meddledRuleset(ruleset: Ruleset, chance: () => Meddling): Ruleset {
  const remaining = <T>(items: Iterable<T>) => [...items].filter(() => chance() !== "lost");
  const meddledChain = ({ rules, ...rest }: Chain): Chain => {
    const left = remaining(rules);
    return { ...rest, rules: chance() === "changed" ? [STRANGE_RULE, ...left] : left };
  };
  const meddledSet = (set: ElementSet): ElementSet => {
    const left = new Map(remaining(set.elements));
    if (chance() !== "changed") return { ...set, elements: left };
    const values = [...left.values()];
    const turned = [...left.keys()].map((key, at) => [key, values.at(at - 1) ?? ""] as const);
    return { ...set, elements: new Map(turned) };
  };
  return new Map(
    remaining(ruleset).map(([name, { sets, chains }]) => {
      const left = new Map(remaining(chains));
      const leadsOn = (text: string) => left.has(/\b(?:jump|goto) (\S+)/.exec(text)?.[1] ?? "");
      const isSound = (text: string) => !/\b(jump|goto) /.test(text) || leadsOn(text);
      return [
        name,
        {
          sets: new Map(
            [...sets].map(([set, { elements, ...rest }]) => {
              const sound = [...elements].filter(([, value]) => isSound(value));
              return [set, meddledSet({ ...rest, elements: new Map(sound) })];
            }),
          ),
          chains: new Map(
            [...left].map(([chain, { rules, ...rest }]) => {
              const sound = rules.filter(({ text }) => isSound(text));
              return [chain, meddledChain({ ...rest, rules: sound })];
            }),
          ),
        },
      ];
    }),
  );
}
