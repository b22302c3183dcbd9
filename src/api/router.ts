/**
 * Finds the row of a route table that a request is for, and the variables in its path. A framework would be
 * eleven megabytes of every daemon for this one question, as all that it does beyond is to be kept from doing.
 */

/** Path variables longer than this match no route; no id or name is. */
const MAX_PARAM_LENGTH = 1_024;

export interface RoutePattern {
  readonly method: string;
  /** Segments between slashes; `:name` is a variable. */
  readonly path: string;
}

export interface RouteMatch<Route> {
  readonly route: Route;
  /** The path's variables, decoded. */
  readonly params: Readonly<Record<string, string>>;
}

interface Row<Route> {
  readonly route: Route;
  readonly segments: readonly string[];
}

export class Router<Route extends RoutePattern> {
  /** By method and number of segments, in the table's order: the first that fits is taken. */
  readonly #rows = new Map<string, Row<Route>[]>();

  constructor(routes: readonly Route[]) {
    for (const route of routes) {
      const segments = route.path.split("/");
      const key = keyOf(route.method, segments);
      const rows = this.#rows.get(key) ?? [];
      this.#rows.set(key, [...rows, { route, segments }]);
    }
  }

  /** The path is without its version, with its query or not; undefined where no row fits, or its escapes are broken. */
  match(method: string, path: string): RouteMatch<Route> | undefined {
    const segments = decoded(path.split("?", 1)[0] ?? "");
    if (segments === undefined) return undefined;
    for (const row of this.#rows.get(keyOf(method, segments)) ?? []) {
      const params = paramsOf(row.segments, segments);
      if (params !== undefined) return { route: row.route, params };
    }
    return undefined;
  }
}

function keyOf(method: string, segments: readonly string[]): string {
  return `${method} ${segments.length}`;
}

/** Each segment on its own: an escaped slash is part of a name. */
function decoded(path: string): string[] | undefined {
  try {
    return path.split("/").map(decodeURIComponent);
  } catch {
    return undefined;
  }
}

/** Undefined where the path is not of this pattern. An empty variable is no name: nobody has such a path. */
function paramsOf(
  pattern: readonly string[],
  segments: readonly string[],
): Record<string, string> | undefined {
  const params: Record<string, string> = {};
  for (const [index, wanted] of pattern.entries()) {
    const segment = segments[index] ?? "";
    if (!wanted.startsWith(":")) {
      if (wanted !== segment) return undefined;
    } else if (segment === "" || segment.length > MAX_PARAM_LENGTH) return undefined;
    else params[wanted.slice(1)] = segment;
  }
  return params;
}
