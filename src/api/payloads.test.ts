/** Secrets and configs over a store in memory; the texts are those of an Engine 20.10 in swarm mode. */
import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import fc from "fast-check";
import { ask } from "./fake-engine.ts";
import { FakeBackend } from "./fake-manager.ts";
import { LoopbackApi } from "./loopback-api.ts";
import { base64 } from "./wire/base64.ts";
import { decodeText } from "./wire/schema.ts";

let api: LoopbackApi;
let backend: FakeBackend;
let host: string;

beforeEach(async () => {
  api = await LoopbackApi.start();
  ({ backend, host } = api);
});
afterEach(async () => {
  await api[Symbol.asyncDispose]();
});

interface Shown {
  readonly ID: string;
  readonly Version: { readonly Index: number };
  readonly Spec: Readonly<Record<string, unknown>>;
  readonly message?: string;
}

async function post(path: string, body: unknown): Promise<[number, Shown]> {
  const { status, json } = await ask(host, path, { method: "POST", body: JSON.stringify(body) });
  return [status, json as Shown];
}

async function get(path: string): Promise<Shown> {
  return (await ask(host, path)).json as Shown;
}

/** What is said of a write that must be refused. */
async function refused(path: string, body: unknown): Promise<string> {
  const [status, { message = "" }] = await post(path, body);
  assert.ok(status >= 400, `${path} ${JSON.stringify(body)}`);
  return message.replace(/^rpc error: code = \w+ desc = /, "");
}

const HELLO = "aGVsbG8=";

test("a secret's data goes in and never comes out, a config's does", async () => {
  for (const kind of ["secret", "config"] as const) {
    const spec = { Name: "one", Labels: { a: "b" }, Data: HELLO };
    const [status, { ID }] = await post(`/${kind}s/create`, spec);
    assert.equal(status, 201);
    const { Data, ...shown } = spec;
    const expected = kind === "secret" ? shown : { ...shown, Data };
    assert.deepEqual((await get(`/${kind}s/one`)).Spec, expected);
    assert.deepEqual((await get(`/${kind}s/${ID.slice(0, 9)}`)).Spec, expected);
    const listed = await ask(
      host,
      `/${kind}s?filters=${encodeURIComponent('{"label":["a"],"name":["on"]}')}`,
    );
    assert.deepEqual((listed.json as Shown[])[0]?.Spec, expected);
    assert.equal(backend.store.view().get(kind, ID)?.spec.data, HELLO);
    assert.equal(listed.text.includes(HELLO), kind === "config");
  }
});

test("only labels are changed, from the version that was seen", async () => {
  await post("/secrets/create", { Name: "one", Data: HELLO });
  const version = (await get("/secrets/one")).Version.Index;
  const path = `/secrets/one/update?version=${version}`;
  for (const spec of [{}, { Name: "two" }, { Name: "one", Data: "eHg=" }]) {
    assert.equal(await refused(path, spec), "only updates to Labels are allowed");
  }
  assert.equal(await refused("/secrets/one/update", {}), "invalid secret version");
  const [status] = await post(path, { Name: "one", Labels: { x: "y" } });
  assert.equal(status, 200);
  assert.deepEqual((await get("/secrets/one")).Spec, { Name: "one", Labels: { x: "y" } });
  assert.equal(await refused(path, { Name: "one" }), "update out of sequence");
});

test("what cannot be stored is refused in Docker's words", async () => {
  const name =
    "invalid name, only 64 [a-zA-Z0-9-_.] characters allowed, and the start and end character must be [a-zA-Z0-9]";
  const size = "secret data must be larger than 0 and less than 512000 bytes";
  const large = (bytes: number) => Buffer.alloc(bytes, "x").toString("base64");
  const rows: readonly (readonly [unknown, string])[] = [
    [{ Name: "", Data: HELLO }, "name must be provided"],
    [{ Name: "a b", Data: HELLO }, name],
    [{ Name: "y".repeat(65), Data: HELLO }, name],
    [{ Name: "one" }, size],
    [{ Name: "one", Data: large(512_001) }, size],
    [{ Name: "one", Data: "!!" }, "illegal base64 data at input byte 0"],
    [{ Name: "one", Data: "aGVsbG8" }, "illegal base64 data at input byte 4"],
    [
      { Name: "one", Data: 5 },
      "json: cannot unmarshal number into Go struct field SecretSpec.Data of type []uint8",
    ],
  ];
  for (const [body, expected] of rows) {
    assert.equal(await refused("/secrets/create", body), expected);
  }
  assert.equal((await post("/secrets/create", { Name: "one", Data: large(512_000) }))[0], 201);
  assert.equal(
    await refused("/secrets/create", { Name: "ONE", Data: HELLO }),
    "secret ONE already exists",
  );
  const templated = { Name: "two", Data: HELLO, Templating: { Name: "golang" } };
  assert.match(
    await refused("/configs/create", templated),
    /templates in configs are not supported/,
  );
});

test("a service refers to what is there, and what it refers to stays", async () => {
  const [, { ID }] = await post("/secrets/create", { Name: "one", Data: HELLO });
  const file = { Name: "key", UID: "0", GID: "0", Mode: 0o444 };
  const service = (name: string, ...references: unknown[]) => ({
    Name: name,
    TaskTemplate: { ContainerSpec: { Image: "nginx", Secrets: references } },
  });
  const whole = { SecretID: ID, SecretName: "one", File: file };
  const rows: readonly (readonly [unknown[], string])[] = [
    [[{ ...whole, SecretID: "zzz" }], "secret not found: one"],
    [[{ ...whole, SecretName: "two" }], "secret not found: two"],
    [[{ ...whole, File: null }], "malformed secret reference, no target provided"],
    [[{ ...whole, SecretID: "" }], "malformed secret reference"],
    [
      [{ ...whole, File: {} }],
      "malformed file secret reference, invalid target file name provided",
    ],
    [[whole, whole], "secret references 'one' and 'one' have a conflicting target: 'key'"],
  ];
  for (const [references, expected] of rows) {
    assert.equal(await refused("/services/create", service("web", ...references)), expected);
  }
  assert.equal((await post("/services/create", service("web", whole)))[0], 201);
  const shown = await get("/services/web");
  const { TaskTemplate } = shown.Spec as { TaskTemplate: { ContainerSpec: Shown["Spec"] } };
  assert.deepEqual(TaskTemplate.ContainerSpec["Secrets"], [whole]);
  const removal = () => ask(host, "/secrets/one", { method: "DELETE" });
  const inUse = "rpc error: code = InvalidArgument desc = secret 'one' is in use by the following";
  assert.equal(((await removal()).json as Shown).message, `${inUse} service: web`);
  await post("/services/create", service("web2", whole));
  assert.match(((await removal()).json as Shown).message ?? "", /services: web2?, web2?$/);
  for (const name of ["web", "web2"]) await ask(host, `/services/${name}`, { method: "DELETE" });
  assert.equal((await removal()).status, 204);
});

test("base64 is read back as the bytes it was made of, broken into lines or not", () => {
  fc.assert(
    fc.property(fc.uint8Array(), fc.nat(), (bytes, cut) => {
      const encoded = Buffer.from(bytes).toString("base64");
      const at = cut % (encoded.length + 1);
      const broken = `${encoded.slice(0, at)}\r\n${encoded.slice(at)}`;
      assert.equal(decodeText(base64, JSON.stringify(broken)), encoded);
      if (encoded === "") return;
      assert.throws(() => decodeText(base64, JSON.stringify(`${encoded.slice(0, -1)}*`)));
    }),
  );
});
