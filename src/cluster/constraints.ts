/**
 * The constraint language of `--constraint`: `node.labels.zone==east`, `node.role != manager`. Values are
 * compared whole, whatever their letters' case; a key that nobody knows is no error, but matches no node.
 */
import { BlockList, isIP } from "node:net";
import { InvalidParameterError } from "../base/errors.ts";
import type { Labels, Node } from "./objects.ts";

const OPERATORS = ["==", "!="] as const;
const KEY_PATTERN = /^[a-z_][a-z0-9\-_.]+$/i;
const VALUE_PATTERN = /^[a-z0-9:\-_\s.*()?+[\]\\^$|/]+$/i;

export interface Constraint {
  readonly key: string;
  readonly operator: (typeof OPERATORS)[number];
  readonly value: string;
}

/** Parses a service's constraints; throws InvalidParameterError in Docker's words. */
export function parseConstraints(expressions: readonly string[]): readonly Constraint[] {
  return expressions.map(parseConstraint);
}

function parseConstraint(expression: string): Constraint {
  const operator = OPERATORS.find((each) => expression.includes(each));
  if (operator === undefined) {
    throw new InvalidParameterError(
      `constraint expected one operator from ${OPERATORS.join(", ")}`,
    );
  }
  const at = expression.indexOf(operator);
  const key = expression.slice(0, at).trim();
  const value = expression.slice(at + operator.length).trim();
  if (!KEY_PATTERN.test(key)) throw new InvalidParameterError(`key '${key}' is invalid`);
  if (!VALUE_PATTERN.test(value)) throw new InvalidParameterError(`value '${value}' is invalid`);
  return { key, operator, value };
}

/** Whether the node meets every one of the constraints. */
export function nodeMatches(constraints: readonly Constraint[], node: Node): boolean {
  return constraints.every((constraint) => matches(constraint, node));
}

/** Whether the node meets what a task's placement asks; an expression that does not parse is met by none. */
export function meetsExpressions(expressions: readonly string[] | undefined, node: Node): boolean {
  if (expressions === undefined || expressions.length === 0) return true;
  try {
    return nodeMatches(parseConstraints(expressions), node);
  } catch (error) {
    if (error instanceof InvalidParameterError) return false;
    throw error;
  }
}

function matches(constraint: Constraint, node: Node): boolean {
  const key = constraint.key.toLowerCase();
  if (key === "node.ip") return matchesAddress(constraint, node.status.addr);
  const actual = attributeOf(constraint.key, node);
  if (actual === undefined) return false;
  const equal = actual.toLowerCase() === constraint.value.toLowerCase();
  return constraint.operator === "==" ? equal : !equal;
}

/** What the key says of the node, "" for a label it does not have; undefined for an unknown key. */
export function attributeOf(key: string, node: Node): string | undefined {
  switch (key.toLowerCase()) {
    case "node.id":
      return node.id;
    case "node.hostname":
      return node.description?.hostname ?? "";
    case "node.role":
      return node.spec.role;
    case "node.platform.os":
      return node.description?.platform.os ?? "";
    case "node.platform.arch":
      return node.description?.platform.architecture ?? "";
    default:
      return (
        labelOf(key, "node.labels.", node.spec.labels) ??
        labelOf(key, "engine.labels.", node.description?.engine.labels ?? {})
      );
  }
}

/** The prefix in any case, the label's own name exactly. */
function labelOf(key: string, prefix: string, labels: Labels): string | undefined {
  if (key.length <= prefix.length) return undefined;
  if (key.slice(0, prefix.length).toLowerCase() !== prefix) return undefined;
  return labels[key.slice(prefix.length)] ?? "";
}

/** An address or a network of either family; anything else is met by no node. A node's address of the other family is in none. */
function matchesAddress({ operator, value }: Constraint, address: string): boolean {
  const [network = "", prefixLength, ...rest] = value.replace(IPV4_IN_IPV6, "").split("/");
  const family = isIP(network);
  if (family === 0 || rest.length > 0 || !/^\d{1,3}$/.test(prefixLength ?? "0")) return false;
  const bits = family === 4 ? 32 : 128;
  const length = Number(prefixLength ?? bits);
  if (length > bits) return false;
  const type = family === 4 ? "ipv4" : "ipv6";
  const list = new BlockList();
  list.addSubnet(network, length, type);
  const inside = isIP(address) === family && list.check(address, type);
  return operator === "==" ? inside : !inside;
}

/** As "::ffff:10.0.0.1", which is 10.0.0.1. */
const IPV4_IN_IPV6 = /^::ffff:(?=\d+\.\d+\.\d+\.\d+$)/i;
