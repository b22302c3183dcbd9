/** Image references as Docker reads them: `nginx` is `nginx:latest`, and a digest wins over a tag. */
export interface ImageReference {
  /** With its registry when it names one. */
  readonly name: string;
  readonly tag?: string;
  readonly digest?: string;
}

export const DEFAULT_TAG = "latest";

export function parseImageReference(text: string): ImageReference {
  const at = text.indexOf("@");
  const digest = at === -1 ? undefined : text.slice(at + 1);
  const tagged = at === -1 ? text : text.slice(0, at);
  // A colon before the last slash belongs to the registry's port.
  const colon = tagged.indexOf(":", tagged.lastIndexOf("/") + 1);
  const name = colon === -1 ? tagged : tagged.slice(0, colon);
  const tag = colon === -1 ? undefined : tagged.slice(colon + 1);
  if (digest !== undefined) return tag === undefined ? { name, digest } : { name, tag, digest };
  return { name, tag: tag ?? DEFAULT_TAG };
}

/** As Docker writes it in its messages: always with a tag or a digest. */
export function formatImageReference({ name, tag, digest }: ImageReference): string {
  return `${name}${tag === undefined ? "" : `:${tag}`}${digest === undefined ? "" : `@${digest}`}`;
}

/** What `POST /images/create` wants in `tag`: the digest when there is one. */
export function pullTagOf(reference: ImageReference): string {
  return reference.digest ?? reference.tag ?? DEFAULT_TAG;
}
