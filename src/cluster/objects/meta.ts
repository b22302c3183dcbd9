/** What every object has. */

/** `index` is the store's own counter at the object's last write; the API refuses writes that name an older one. */
export interface Version {
  readonly index: number;
}

/** What every object carries. The store sets `version` and `updatedAt` at each write, `createdAt` at the first. */
export interface ObjectMeta {
  readonly version: Version;
  readonly createdAt: string;
  readonly updatedAt: string;
}

export type Labels = Readonly<Record<string, string>>;
