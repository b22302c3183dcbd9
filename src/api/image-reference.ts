/** Whether a text names an image: `[registry[:port]/]path[:tag][@digest]` (distribution/reference). */

const MAX_NAME_LENGTH = 255;
const PATH_COMPONENT = /^[a-z0-9]+(?:(?:\.|_|__|-+)[a-z0-9]+)*$/;
const DOMAIN_COMPONENT = /^[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?$/;
const TAG = /^\w[\w.-]{0,127}$/;
const DIGEST = /^[A-Za-z][A-Za-z0-9]*(?:[-_+.][A-Za-z][A-Za-z0-9]*)*:[0-9a-fA-F]{32,}$/;
const BARE_ID = /^[a-f0-9]{64}$/;

export function isImageReference(text: string): boolean {
  const [named = "", digest, ...more] = text.split("@");
  if (more.length > 0 || (digest !== undefined && !DIGEST.test(digest))) return false;
  const tagAt = named.indexOf(":", named.lastIndexOf("/") + 1);
  const name = tagAt < 0 ? named : named.slice(0, tagAt);
  if (tagAt >= 0 && !TAG.test(named.slice(tagAt + 1))) return false;
  if (name.length > MAX_NAME_LENGTH || BARE_ID.test(text)) return false;
  const components = name.split("/");
  const [first = ""] = components;
  const path = components.length > 1 && isDomain(first) ? components.slice(1) : components;
  return path.length > 0 && path.every((component) => PATH_COMPONENT.test(component));
}

/** The first component names a registry only where it cannot be a path's. */
function isDomain(text: string): boolean {
  const looksLikeOne = /[.:]/.test(text) || text === "localhost" || text !== text.toLowerCase();
  if (!looksLikeOne) return false;
  if (/^\[[0-9a-fA-F:]+\](?::\d+)?$/.test(text)) return true;
  const [host = "", port, ...more] = text.split(":");
  if (more.length > 0 || (port !== undefined && !/^\d+$/.test(port))) return false;
  return host.split(".").every((component) => DOMAIN_COMPONENT.test(component));
}
