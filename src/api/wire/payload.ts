/** Secrets and configs as Docker's JSON has them (api/types/swarm: secret.go, config.go). */
import type {
  Config,
  ConfigReference,
  FileTarget,
  PayloadSpec,
  Secret,
  SecretReference,
} from "../../cluster/objects.ts";
import { base64 } from "./base64.ts";
import { encodeMeta } from "./meta.ts";
import {
  type Codec,
  labels,
  omittedWhenEmpty,
  optional,
  required,
  struct,
  text,
  uint32,
} from "./schema.ts";

const FIELDS = {
  name: required("Name", text, ""),
  labels: required("Labels", labels, {}),
  data: omittedWhenEmpty("Data", base64, ""),
} as const;

export const secretSpec: Codec<PayloadSpec> = struct<PayloadSpec>("swarm.SecretSpec", FIELDS, {
  refused: {
    Driver: "secret drivers are not supported by Weft: store the secret's data itself",
    Templating:
      "templates in secrets are not supported by Weft: store the text as it is to be read",
  },
});

export const configSpec: Codec<PayloadSpec> = struct<PayloadSpec>("swarm.ConfigSpec", FIELDS, {
  refused: {
    Templating:
      "templates in configs are not supported by Weft: store the text as it is to be read",
  },
});

/** Its data is given once and never shown. */
export function encodeSecret(secret: Secret) {
  return { ...encodeMeta(secret), Spec: secretSpec.encode({ ...secret.spec, data: "" }) };
}

export function encodeConfig(config: Config) {
  return { ...encodeMeta(config), Spec: configSpec.encode(config.spec) };
}

function fileTarget(goType: string): Codec<FileTarget> {
  return struct<FileTarget>(goType, {
    name: required("Name", text, ""),
    uid: required("UID", text, ""),
    gid: required("GID", text, ""),
    mode: required("Mode", uint32, 0),
  });
}

export const secretReference: Codec<SecretReference> = struct<SecretReference>(
  "swarm.SecretReference",
  {
    file: optional("File", fileTarget("swarm.SecretReferenceFileTarget")),
    secretID: required(
      "SecretID",
      text as Codec<SecretReference["secretID"]>,
      "" as SecretReference["secretID"],
    ),
    secretName: required("SecretName", text, ""),
  },
);

export const configReference: Codec<ConfigReference> = struct<ConfigReference>(
  "swarm.ConfigReference",
  {
    file: optional("File", fileTarget("swarm.ConfigReferenceFileTarget")),
    configID: required(
      "ConfigID",
      text as Codec<ConfigReference["configID"]>,
      "" as ConfigReference["configID"],
    ),
    configName: required("ConfigName", text, ""),
  },
  {
    refused: { Runtime: "credential specs (a config's Runtime target) are for Windows only" },
  },
);
