/** Secrets and configs. */
import type { ConfigID, SecretID } from "../../base/ids.ts";
import type { Labels, ObjectMeta } from "./meta.ts";

/** What a user stored under a name, for tasks to read as a file. It never changes; only its labels do. */
export interface PayloadSpec {
  readonly name: string;
  readonly labels: Labels;
  /** Base64. */
  readonly data: string;
}

/** Its data leaves the managers only for nodes whose tasks need it, and never by the API. */
export interface Secret extends ObjectMeta {
  readonly id: SecretID;
  readonly spec: PayloadSpec;
}

export interface Config extends ObjectMeta {
  readonly id: ConfigID;
  readonly spec: PayloadSpec;
}
