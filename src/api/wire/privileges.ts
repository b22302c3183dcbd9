/** Security options of a service's containers as Docker's JSON has them (api/types/swarm/container.go, Privileges). */
import { InvalidParameterError } from "../../base/errors.ts";
import type { Privileges } from "../../cluster/objects.ts";
import { base64 } from "./base64.ts";
import { type Codec, flag, oneOf, optional, struct, text, unlessEmpty } from "./schema.ts";

type SELinuxContext = NonNullable<Privileges["seLinuxContext"]>;
type Seccomp = NonNullable<Privileges["seccomp"]>;
type AppArmor = NonNullable<Privileges["appArmor"]>;

const seLinuxContext = struct<SELinuxContext>("swarm.SELinuxContext", {
  disable: unlessEmpty("Disable", flag),
  user: unlessEmpty("User", text),
  role: unlessEmpty("Role", text),
  type: unlessEmpty("Type", text),
  level: unlessEmpty("Level", text),
});

const seccompFields = struct<Seccomp>("swarm.SeccompOpts", {
  mode: unlessEmpty(
    "Mode",
    oneOf(
      "swarm.SeccompMode",
      ["default", "unconfined", "custom"],
      (word) => `invalid Seccomp mode: "${word}"`,
    ),
  ),
  profile: unlessEmpty("Profile", base64),
});

const seccomp: Codec<Seccomp> = {
  ...seccompFields,
  decode(value, at) {
    const decoded = seccompFields.decode(value, at);
    const isCustom = decoded.mode === "custom";
    if (isCustom && decoded.profile === undefined) {
      throw new InvalidParameterError("Seccomp mode custom needs a profile");
    }
    if (!isCustom && decoded.profile !== undefined) {
      throw new InvalidParameterError("a Seccomp profile goes with mode custom alone");
    }
    return decoded;
  },
};

const appArmor = struct<AppArmor>("swarm.AppArmorOpts", {
  mode: unlessEmpty(
    "Mode",
    oneOf(
      "swarm.AppArmorMode",
      ["default", "disabled"],
      (word) => `invalid AppArmor mode: "${word}"`,
    ),
  ),
});

export const privileges: Codec<Privileges> = struct<Privileges>(
  "swarm.Privileges",
  {
    seLinuxContext: optional("SELinuxContext", seLinuxContext),
    seccomp: optional("Seccomp", seccomp),
    appArmor: optional("AppArmor", appArmor),
    noNewPrivileges: unlessEmpty("NoNewPrivileges", flag),
  },
  {
    refused: {
      CredentialSpec: "credential specs are for Windows containers, which Weft does not run",
    },
  },
);
