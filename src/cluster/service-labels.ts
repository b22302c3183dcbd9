/**
 * Labels of a service that are meant for Weft: all that begin with `weft.`. What Docker's CLI and stack files
 * have no option for stands here; a label that nobody reads would only look as if it did something.
 */
import { parseDuration } from "../base/duration.ts";
import { InvalidParameterError } from "../base/errors.ts";
import type { Labels } from "./objects.ts";
import { isPublishLabel, validatePublishLabels } from "./publish-labels.ts";

const PREFIX = "weft.";

/** How long a task's connections may go on before it is stopped, as "30s"; the stop grace period when absent. */
export const DRAIN_TIMEOUT_LABEL = "weft.drain.timeout";

/** Throws what is wrong with the labels that are meant for Weft; all others are the user's. */
export function validateServiceLabels(labels: Labels): void {
  validatePublishLabels(labels);
  for (const [key, value] of Object.entries(labels)) {
    if (!key.startsWith(PREFIX) || isPublishLabel(key)) continue;
    if (key !== DRAIN_TIMEOUT_LABEL) {
      throw new InvalidParameterError(
        `unknown label ${key}: of those that begin with ${PREFIX} there are ${DRAIN_TIMEOUT_LABEL}, weft.publish.allow and weft.publish.address`,
      );
    }
    if (parseDuration(value) === undefined) {
      throw new InvalidParameterError(
        `label ${key}: "${value}" is no duration: expected one such as 30s, 2m or 1m30s, or 0 to wait for no connection`,
      );
    }
  }
}

/** A task's labels with those for Weft as its service has them now: they count for running tasks too. */
export function withServiceLabels(task: Labels, service: Labels): Labels {
  const isForWeft = ([key]: readonly [string, string]) => key.startsWith(PREFIX);
  const own = Object.entries(task).filter((label) => !isForWeft(label));
  return Object.fromEntries([...own, ...Object.entries(service).filter(isForWeft)]);
}
