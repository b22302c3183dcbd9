import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { InvalidParameterError, WeftError } from "../../base/errors.ts";
import { makeClusterSpec } from "../../cluster/factories.ts";
import type { ServiceSpec } from "../../cluster/objects.ts";
import { clusterSpec } from "./cluster.ts";
import { describeSyntaxError } from "./json.ts";
import { nodeSpec } from "./node.ts";
import { decodeText, decodeValue } from "./schema.ts";
import { serviceSpec } from "./service.ts";

const word = fc.stringMatching(/^[a-z][a-z0-9.-]{0,10}$/);
const words = fc.array(word, { minLength: 1, maxLength: 3 });
const positive = fc.integer({ min: 1, max: 2 ** 31 });
/** Keys are the users' own, whatever they are. */
const labels = fc.dictionary(fc.oneof(word, fc.constant("__proto__"), fc.constant("Name")), word);
const some: { requiredKeys: [] } = { requiredKeys: [] };

const port = fc.record(
  {
    name: word,
    protocol: fc.constantFrom("tcp", "udp", "sctp"),
    targetPort: positive,
    publishedPort: positive,
    publishMode: fc.constantFrom("ingress", "host"),
  },
  { requiredKeys: ["protocol", "targetPort", "publishMode"] },
);
const update = fc.record(
  {
    parallelism: fc.nat(),
    delay: positive,
    failureAction: fc.constantFrom("continue", "rollback"),
    monitor: positive,
    maxFailureRatio: fc.constantFrom(0.25, 0.5, 1),
    order: fc.constant("start-first"),
  },
  { requiredKeys: ["parallelism"] },
);
const resources = fc.record({ nanoCPUs: positive, memoryBytes: positive, pids: positive }, some);
const mount = fc.record(
  {
    type: fc.constantFrom("bind", "volume", "tmpfs"),
    source: word,
    target: word,
    readOnly: fc.constant(true),
    bindOptions: fc.record({ propagation: word, nonRecursive: fc.constant(true) }, some),
    volumeOptions: fc.record(
      { noCopy: fc.constant(true), driverConfig: fc.record({ name: word }) },
      some,
    ),
    tmpfsOptions: fc.record({ sizeBytes: positive, mode: positive }, some),
  },
  { requiredKeys: ["type", "target"] },
);
const container = fc.record(
  {
    image: word,
    labels: labels.filter((each) => Object.keys(each).length > 0),
    command: words,
    args: words,
    hostname: word,
    env: words,
    tty: fc.constant(true),
    init: fc.boolean(),
    stopGracePeriod: fc.nat(),
    mounts: fc.array(mount, { minLength: 1, maxLength: 2 }),
    healthcheck: fc.record({ test: words, interval: positive, retries: positive }, some),
    dnsConfig: fc.record({ nameservers: words, search: words }, some),
    isolation: fc.constant("hyperv"),
    ulimits: fc.array(fc.record({ name: word, soft: fc.nat(), hard: fc.nat() }), { minLength: 1 }),
  },
  { requiredKeys: ["image"] },
);
const task = fc.record(
  {
    containerSpec: container,
    resources: fc.record({ limits: resources, reservations: resources }, some),
    restartPolicy: fc.record(
      { condition: fc.constantFrom("none", "on-failure"), delay: fc.nat(), maxAttempts: positive },
      some,
    ),
    placement: fc.record(
      {
        constraints: words,
        maxReplicas: positive,
        preferences: fc.constant([{ spread: { spreadDescriptor: "node.labels.zone" } }]),
      },
      some,
    ),
    networks: fc.array(fc.record({ target: word, aliases: words }), { minLength: 1 }),
    logDriver: fc.record({ name: word }, some),
    forceUpdate: fc.nat(),
  },
  { requiredKeys: ["containerSpec", "forceUpdate"] },
);
const service: fc.Arbitrary<ServiceSpec> = fc.record(
  {
    name: word,
    labels,
    taskTemplate: task,
    mode: fc.oneof(
      fc.record({ replicated: fc.record({ replicas: fc.nat() }) }),
      fc.constant({ global: {} }),
    ),
    updateConfig: update,
    rollbackConfig: update,
    endpointSpec: fc.record({ mode: fc.constantFrom("vip", "dnsrr"), ports: fc.array(port) }),
  },
  { requiredKeys: ["name", "labels", "taskTemplate", "mode"] },
) as fc.Arbitrary<ServiceSpec>;

/** Without fast-check's null prototypes, which deepEqual tells apart. */
function plain<T>(value: T): T {
  return JSON.parse(JSON.stringify(value)) as T;
}

describe("the wire schema", () => {
  it("reads what it wrote", () => {
    fc.assert(
      fc.property(service, (spec) => {
        const wire = JSON.stringify(serviceSpec.encode(spec));
        assert.deepEqual(plain(decodeText(serviceSpec, wire)), plain(spec));
      }),
    );
    const cluster = makeClusterSpec({ labels: { a: "b" } });
    assert.deepEqual(decodeValue(clusterSpec, clusterSpec.encode(cluster)), cluster);
    const node = { name: "x", labels: {}, role: "worker", availability: "drain" } as const;
    assert.deepEqual(decodeValue(nodeSpec, nodeSpec.encode(node)), node);
  });

  it("takes names in any case, ignores unknown ones, and takes null for nothing", () => {
    const spec = decodeText(
      serviceSpec,
      '{"NAME":"a","Labels":null,"Later":{"x":1},"taskTemplate":{"ContainerSpec":{"Image":"i","Env":null}}}',
    );
    assert.equal(spec.name, "a");
    assert.deepEqual(spec.labels, {});
    assert.deepEqual(spec.taskTemplate.containerSpec, { image: "i" });
  });

  it("keeps a user's key that JavaScript has another use for", () => {
    const spec = decodeText(serviceSpec, '{"Labels":{"__proto__":"x","constructor":"y"}}');
    assert.deepEqual(Object.entries(spec.labels), [
      ["__proto__", "x"],
      ["constructor", "y"],
    ]);
    assert.match(JSON.stringify(serviceSpec.encode(spec)), /"__proto__":"x"/);
  });

  it("refuses what it would otherwise drop, but not an empty form of it", () => {
    const spec = (container: string) =>
      `{"TaskTemplate":{"ContainerSpec":{"Image":"i",${container}}}}`;
    for (const empty of [
      '"Secrets":[],"Configs":null',
      '"Privileges":{"CredentialSpec":null,"SELinuxContext":{}}',
    ]) {
      decodeText(serviceSpec, spec(empty));
    }
    assert.throws(
      () => decodeText(serviceSpec, spec('"Privileges":{"CredentialSpec":{"File":"a"}}')),
      /credential specs are for Windows/,
    );
  });

  it("answers whatever is sent with a value or a refusal", () => {
    fc.assert(
      fc.property(fc.oneof(fc.json(), fc.string()), (text) => {
        for (const codec of [serviceSpec, nodeSpec, clusterSpec]) {
          try {
            decodeText<unknown>(codec, text);
          } catch (error) {
            assert.ok(error instanceof WeftError, String(error));
          }
        }
      }),
    );
  });

  it("finds words for every text that is no JSON, however deep", () => {
    fc.assert(
      fc.property(fc.string(), (text) => {
        try {
          JSON.parse(text);
        } catch {
          assert.match(
            describeSyntaxError(text),
            /^(invalid character '.*' |unexpected EOF$|unexpected content|got EOF)/s,
          );
        }
      }),
    );
    assert.equal(describeSyntaxError("[".repeat(500_000)), "unexpected EOF");
    assert.throws(() => decodeText(serviceSpec, '{"Mode":'.repeat(100_000)), InvalidParameterError);
  });
});
