import assert from "node:assert/strict";
import { it } from "node:test";
import { privileges } from "./privileges.ts";

const decode = (value: unknown) => privileges.decode(value, { struct: "ContainerSpec", path: [] });

it("comes through both ways, field by field", () => {
  const wire = {
    SELinuxContext: { Disable: true, User: "u", Role: "r", Type: "t", Level: "s0" },
    Seccomp: { Mode: "custom", Profile: "e30=" },
    AppArmor: { Mode: "disabled" },
    NoNewPrivileges: true,
  };
  assert.deepEqual(privileges.encode(decode(wire)), wire);
});

it("says nothing where the client says nothing", () => {
  assert.deepEqual(decode({ CredentialSpec: null, SELinuxContext: null }), {});
});

const refused: readonly (readonly [string, unknown, RegExp])[] = [
  ["a credential spec", { CredentialSpec: { File: "a" } }, /are for Windows containers/],
  ["an unknown mode", { Seccomp: { Mode: "off" } }, /invalid Seccomp mode: "off"/],
  ["custom without a profile", { Seccomp: { Mode: "custom" } }, /needs a profile/],
  ["a profile that nobody asked for", { Seccomp: { Profile: "e30=" } }, /mode custom alone/],
  ["no base64", { Seccomp: { Mode: "custom", Profile: "{}" } }, /illegal base64/],
  ["an unknown mode of AppArmor", { AppArmor: { Mode: "x" } }, /invalid AppArmor mode/],
];
for (const [what, value, message] of refused) {
  it(`refuses ${what}`, () => assert.throws(() => decode(value), { message }));
}
