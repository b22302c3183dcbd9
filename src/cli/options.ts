/**
 * Options from flags, environment and config file, in that order, each over the next, over the default.
 * One table per command says them all; unknown flags and unknown keys are refused.
 */
import { readFileSync } from "node:fs";
import { parseArgs } from "node:util";
import { messageOf } from "../base/errors.ts";
import { UsageError } from "./command.ts";

export interface OptionSpec {
  readonly kind: "string" | "strings" | "boolean";
  readonly env?: string;
  readonly help: string;
  /** What the value is, as in `--data-dir DIR`. */
  readonly value?: string;
  readonly default?: string | readonly string[] | boolean;
}
export type OptionTable = Readonly<Record<string, OptionSpec>>;

type ValueOf<S extends OptionSpec> = S["kind"] extends "strings"
  ? readonly string[]
  : S["kind"] extends "boolean"
    ? boolean
    : S["default"] extends string
      ? string
      : string | undefined;
export type OptionValues<T extends OptionTable> = { readonly [K in keyof T]: ValueOf<T[K]> };

export interface OptionSources {
  readonly words: readonly string[];
  readonly env: Readonly<Record<string, string | undefined>>;
  /** Where the config file is when neither flag nor environment say; a missing file there is none. */
  readonly configFile?: string;
  /** What may stand in the config file when that serves several commands; the command's own table when absent. */
  readonly configTable?: OptionTable;
}

/** The frozen record of all options. Throws UsageError, naming the flag, variable or key that is wrong. */
export function readOptions<const T extends OptionTable>(
  table: T,
  sources: OptionSources,
): OptionValues<T> {
  const flags = parseFlags(table, sources.words);
  const file = readConfigFile({ ...table, ...sources.configTable }, flags, sources);
  const values: Record<string, unknown> = {};
  for (const [name, spec] of Object.entries(table)) {
    const fromEnv = spec.env === undefined ? undefined : sources.env[spec.env];
    values[name] =
      flags[name] ??
      (fromEnv === undefined ? undefined : fromText(spec, fromEnv, spec.env ?? name)) ??
      file[name] ??
      spec.default ??
      (spec.kind === "strings" ? [] : spec.kind === "boolean" ? false : undefined);
  }
  return Object.freeze(values) as OptionValues<T>;
}

/** The table as help text, one option a line. */
export function describeOptions(table: OptionTable): string {
  const rows = Object.entries(table).map(([name, spec]) => {
    const value = spec.kind === "boolean" ? "" : ` ${spec.value ?? "VALUE"}`;
    const shown = Array.isArray(spec.default) ? spec.default.join(", ") : spec.default;
    const notes = [
      ...(shown === undefined || shown === false ? [] : [`default ${String(shown)}`]),
      ...(spec.env === undefined ? [] : [spec.env]),
    ];
    const note = notes.length === 0 ? "" : ` (${notes.join("; ")})`;
    return [`  --${name}${value}`, `${spec.help}${note}`] as const;
  });
  const width = Math.max(...rows.map(([left]) => left.length)) + 2;
  return rows.map(([left, right]) => left.padEnd(width) + right).join("\n");
}

type Values = Record<string, string | readonly string[] | boolean | undefined>;

/** The words that belong to no flag, and the rest, for commands that name something. */
export function splitWords(
  table: OptionTable,
  words: readonly string[],
): { readonly operands: readonly string[]; readonly flags: readonly string[] } {
  const options = parseArgsOptions(table);
  const args = [...words];
  const { tokens } = parseArgs({
    args,
    options,
    strict: false,
    allowPositionals: true,
    tokens: true,
  });
  const operands = new Set(
    tokens.filter(({ kind }) => kind === "positional").map(({ index }) => index),
  );
  return {
    operands: words.filter((_, index) => operands.has(index)),
    flags: words.filter((_, index) => !operands.has(index)),
  };
}

function parseArgsOptions(table: OptionTable) {
  return Object.fromEntries(
    Object.entries(table).map(([name, spec]) => [
      name,
      {
        type: spec.kind === "boolean" ? ("boolean" as const) : ("string" as const),
        multiple: spec.kind === "strings",
      },
    ]),
  );
}

function parseFlags(table: OptionTable, words: readonly string[]): Values {
  const options = parseArgsOptions(table);
  try {
    const parsed = parseArgs({ args: [...words], options, strict: true, allowPositionals: false });
    return parsed.values as Values;
  } catch (error) {
    throw new UsageError(messageOf(error).split(". ")[0] ?? messageOf(error));
  }
}

function readConfigFile(table: OptionTable, flags: Values, sources: OptionSources): Values {
  const spec = table["config"];
  if (spec === undefined) return {};
  const fromEnv = spec.env === undefined ? undefined : sources.env[spec.env];
  const named = flags["config"] ?? fromEnv;
  const path = typeof named === "string" ? named : sources.configFile;
  if (path === undefined) return {};
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (error) {
    if (named === undefined) return {};
    throw new UsageError(`cannot read the config file ${path}: ${messageOf(error)}`);
  }
  return decodeConfig(table, text, path);
}

function decodeConfig(table: OptionTable, text: string, path: string): Values {
  let decoded: unknown;
  try {
    decoded = JSON.parse(text);
  } catch (error) {
    throw new UsageError(`the config file ${path} is not JSON: ${messageOf(error)}`);
  }
  if (decoded === null || typeof decoded !== "object" || Array.isArray(decoded))
    throw new UsageError(`the config file ${path} must hold one JSON object`);
  const values: Values = {};
  for (const [key, value] of Object.entries(decoded)) {
    const spec = key === "config" ? undefined : table[key];
    if (spec === undefined) throw new UsageError(`unknown key "${key}" in the config file ${path}`);
    values[key] = fromJSON(spec, value, `key "${key}" in the config file ${path}`);
  }
  return values;
}

function fromJSON(spec: OptionSpec, value: unknown, where: string) {
  switch (spec.kind) {
    case "boolean":
      if (typeof value === "boolean") return value;
      throw new UsageError(`${where} must be true or false`);
    case "string":
      if (typeof value === "string") return value;
      throw new UsageError(`${where} must be a string`);
    case "strings":
      if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
      throw new UsageError(`${where} must be a list of strings`);
  }
}

function fromText(spec: OptionSpec, text: string, where: string) {
  if (spec.kind === "string") return text;
  if (spec.kind === "strings") return text.split(",").filter((item) => item !== "");
  if (text === "true" || text === "1") return true;
  if (text === "false" || text === "0" || text === "") return false;
  throw new UsageError(`${where} must be true or false`);
}
