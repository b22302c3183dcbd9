/** Publishing ports: every form of the specification, reading it back, changing it, and what is refused. */
import assert from "node:assert/strict";
import { after, afterEach, before, describe, test } from "node:test";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { until } from "../../src/lab/until.ts";
import { type Probe, probe } from "./support/probing.ts";
import { type RunningTask, Swarm } from "./support/swarm.ts";
import { assertSameTraces, tracesOf } from "./support/traces.ts";

const skip = (await labUnavailable()) ?? false;

interface Form {
  readonly name: string;
  readonly args: readonly string[];
  readonly image: "nginx" | "dns-cache";
  /** `{{json .Endpoint.Spec.Ports}}`, to the letter. */
  readonly ports: string;
  /** The PORTS column of `service ls`. */
  readonly listed: string;
  readonly answers: readonly (readonly [kind: Probe["kind"], port: number])[];
  readonly refuses: readonly (readonly [kind: Probe["kind"], port: number])[];
}

const port = (protocol: string, target: number, published: number) =>
  `{"Protocol":"${protocol}","TargetPort":${target},"PublishedPort":${published},"PublishMode":"ingress"}`;

const FORMS: readonly Form[] = [
  {
    name: "long",
    args: ["--publish", "published=8080,target=80"],
    image: "nginx",
    ports: `[${port("tcp", 80, 8080)}]`,
    listed: "*:8080->80/tcp",
    answers: [["http", 8080]],
    refuses: [["dns", 8080]],
  },
  {
    name: "short",
    args: ["-p", "8081:80"],
    image: "nginx",
    ports: `[${port("tcp", 80, 8081)}]`,
    listed: "*:8081->80/tcp",
    answers: [["http", 8081]],
    refuses: [["dns", 8081]],
  },
  {
    name: "tcp-long",
    args: ["--publish", "published=5301,target=53"],
    image: "dns-cache",
    ports: `[${port("tcp", 53, 5301)}]`,
    listed: "*:5301->53/tcp",
    answers: [["dns-tcp", 5301]],
    refuses: [["dns", 5301]],
  },
  {
    name: "tcp-short",
    args: ["-p", "5302:53"],
    image: "dns-cache",
    ports: `[${port("tcp", 53, 5302)}]`,
    listed: "*:5302->53/tcp",
    answers: [["dns-tcp", 5302]],
    refuses: [["dns", 5302]],
  },
  {
    name: "udp-long",
    args: ["--publish", "published=5303,target=53,protocol=udp"],
    image: "dns-cache",
    ports: `[${port("udp", 53, 5303)}]`,
    listed: "*:5303->53/udp",
    answers: [["dns", 5303]],
    refuses: [["dns-tcp", 5303]],
  },
  {
    name: "udp-short",
    args: ["-p", "5304:53/udp"],
    image: "dns-cache",
    ports: `[${port("udp", 53, 5304)}]`,
    listed: "*:5304->53/udp",
    answers: [["dns", 5304]],
    refuses: [["dns-tcp", 5304]],
  },
  {
    name: "both-long",
    args: [
      ...["--publish", "published=5305,target=53"],
      ...["--publish", "published=5305,target=53,protocol=udp"],
    ],
    image: "dns-cache",
    ports: `[${port("tcp", 53, 5305)},${port("udp", 53, 5305)}]`,
    listed: "*:5305->53/tcp, *:5305->53/udp",
    answers: [
      ["dns-tcp", 5305],
      ["dns", 5305],
    ],
    refuses: [],
  },
  {
    name: "both-short",
    args: ["-p", "53:53", "-p", "53:53/udp"],
    image: "dns-cache",
    ports: `[${port("tcp", 53, 53)},${port("udp", 53, 53)}]`,
    listed: "*:53->53/tcp, *:53->53/udp",
    answers: [
      ["dns-tcp", 53],
      ["dns", 53],
    ],
    refuses: [],
  },
];

describe("publishing", { skip }, () => {
  let swarm: Swarm;
  before(async () => {
    swarm = await Swarm.create({ images: ["nginx", "dns-cache"] });
  });
  after(() => swarm?.[Symbol.asyncDispose]());
  afterEach(() => swarm.clear());

  const probesOf = (pairs: Form["answers"]): Probe[] =>
    swarm.hosts.flatMap(({ ip }) =>
      pairs.map(([kind, published]) => ({ kind, address: ip, port: published })),
    );
  const failures = async (pairs: Form["answers"]) => {
    const results = await probe(swarm.client(), probesOf(pairs));
    return results.filter(({ error }) => error !== undefined);
  };

  test("every form is created, read back to the letter, and answered on every node", async () => {
    const create = (form: Form) => swarm.create(form.name, ...form.args, form.image);
    await Promise.all(FORMS.map(create));
    const listing = await swarm.docker("service", "ls", "--format", "{{.Name}} {{.Ports}}");
    for (const form of FORMS) {
      assert.equal(await swarm.ports(form.name), form.ports, form.name);
      assert.ok(listing.split("\n").includes(`${form.name} ${form.listed}`), listing);
    }
    const answers = FORMS.flatMap((form) => form.answers);
    await until(async () => (await failures(answers)).length === 0, {
      what: "every published port to be answered on every node",
    });
    const refuses = FORMS.flatMap((form) => form.refuses);
    const refused = await failures(refuses);
    assert.equal(refused.length, refuses.length * swarm.hosts.length);
    for (const { error, probe: sent } of refused) {
      assert.equal(error, "ECONNREFUSED", JSON.stringify(sent));
    }
  });

  test("ranges in the short form are ports one by one, listed as Docker lists them, and go as they came", async () => {
    // Tasks listen on the one in the middle alone: each port leads to its own.
    await Promise.all([
      swarm.create("tcp-range", "-p", "8086-8088:79-81", "nginx"),
      swarm.create("udp-range", "-p", "5309-5311:52-54/udp", "dns-cache"),
      swarm.create("one-target", "-p", "8083-8085:80", "nginx"),
    ]);
    const listing = await swarm.docker("service", "ls", "--format", "{{.Name}} {{.Ports}}");
    for (const line of [
      "tcp-range *:8086-8088->79-81/tcp",
      "udp-range *:5309-5311->52-54/udp",
      "one-target *:8083-8085->80/tcp",
    ]) {
      assert.ok(listing.split("\n").includes(line), `${line} in\n${listing}`);
    }
    const answers: Form["answers"] = [
      ...[8083, 8084, 8085, 8087].map((each) => ["http", each] as const),
      ["dns", 5310],
    ];
    await until(async () => (await failures(answers)).length === 0, {
      what: "the ports of the ranges to be answered on every node",
    });
    const others: Form["answers"] = [
      ["http", 8086],
      ["http", 8088],
      ["dns", 5309],
      ["dns", 5311],
    ];
    const refused = await failures(others);
    assert.equal(refused.length, others.length * swarm.hosts.length);
    assert.deepEqual([...new Set(refused.map(({ error }) => error))], ["ECONNREFUSED"]);
    const update = ["service", "update", "--detach"];
    await swarm.docker(...update, "--publish-rm", "79-81", "tcp-range");
    await swarm.docker(...update, "--publish-rm", "80", "one-target");
    await swarm.refusing(8087);
    await swarm.refusing(8084);
    assert.equal(await swarm.ports("tcp-range"), "null");
    await swarm.docker(...update, "--publish-add", "8086-8088:79-81", "tcp-range");
    await swarm.answering(8087);
  });

  test("without a published port, a high one is assigned and read off the service", async () => {
    await Promise.all([
      swarm.create("auto-a", "--publish", "target=80", "nginx"),
      swarm.create("auto-b", "-p", "80", "nginx"),
    ]);
    const ports = [await swarm.assignedPort("auto-a"), await swarm.assignedPort("auto-b")] as const;
    for (const assigned of ports) {
      assert.ok(assigned >= 30_000 && assigned <= 32_767, `${assigned}`);
      await swarm.answering(assigned);
    }
    assert.notEqual(ports[0], ports[1]);
    const listing = await swarm.docker("service", "ls", "--format", "{{.Name}} {{.Ports}}");
    assert.match(listing, new RegExp(`^auto-a \\*:${ports[0]}->80/tcp$`, "m"));
  });

  test("ports come and go by update; no task is restarted", async () => {
    const tasks = await swarm.create("web", "-p", "8080:80", "--replicas", "2", "nginx");
    await swarm.answering(8080);
    const updated = async (...args: string[]) => {
      await swarm.docker("service", "update", "--detach", ...args, "web");
    };
    await updated("--publish-add", "published=9090,target=80");
    await swarm.answering(9090);
    await swarm.answering(8080);
    assert.equal(await swarm.ports("web"), `[${port("tcp", 80, 8080)},${port("tcp", 80, 9090)}]`);
    // The CLI removes by target port, whatever it was published on.
    await updated("--publish-rm", "80", "--publish-add", "published=7070,target=80");
    await swarm.answering(7070);
    await swarm.refusing(8080);
    await swarm.refusing(9090);
    assert.equal(await swarm.ports("web"), `[${port("tcp", 80, 7070)}]`);
    await updated("--publish-rm", "80");
    await swarm.refusing(7070);
    assert.deepEqual(containers(await swarm.converged("web")), containers(tasks));
  });

  test("scale changes who answers, and none refuses at once", async () => {
    await swarm.create("web", "-p", "8080:80", "--replicas", "2", "nginx");
    assert.match(await swarm.docker("service", "scale", "--detach", "web=5"), /^web scaled to 5$/m);
    const tasks = await swarm.converged("web");
    assert.equal(tasks.length, 5);
    const wanted = tasks.map(({ containerID }) => containerID.slice(0, 12)).sort();
    await until(async () => (await answeringTasks(8080)).join() === wanted.join(), {
      what: "all five tasks to answer",
    });
    await swarm.docker("service", "scale", "--detach", "web=0");
    await swarm.refusing(8080);
    await swarm.docker("service", "scale", "--detach", "web=1");
    await swarm.converged("web");
    await swarm.answering(8080);
  });

  test("what cannot be is refused in Docker's words, and nothing of it stays", async () => {
    const [task] = await swarm.create("web", "-p", "8080:80", "nginx");
    await swarm.answering(8080);
    const id = await swarm.docker("service", "inspect", "--format", "{{.ID}}", "web");
    const before = await swarm.tracesAtRest();
    const invalid = "Error response from daemon: rpc error: code = InvalidArgument desc =";
    const inUse = `${invalid} port '8080' is already in use by service 'web' (${id}) as an ingress port`;
    const duplicate = `${invalid} EndpointSpec: duplicate published ports provided`;
    const create = ["service", "create", "--detach", "--name"];
    const host = "published=8080,target=80,mode=host";
    for (const [args, text] of [
      [[...create, "other", "-p", "8080:80", "nginx"], inUse],
      [[...create, "other", "--publish", host, "nginx"], inUse],
      [[...create, "other", "-p", "81:80", "-p", "81:81", "nginx"], duplicate],
      [
        [...create, "other", "--endpoint-mode", "dnsrr", "-p", "8085:80", "nginx"],
        `${invalid} EndpointSpec: port published with ingress mode can't be used with dnsrr mode`,
      ],
      [
        [...create, "web", "nginx"],
        "Error response from daemon: rpc error: code = AlreadyExists desc = name conflicts with an existing object: service web already exists",
      ],
      [[...create, "bad$", "nginx"], `${invalid} name must be valid as a DNS name component`],
      [
        [...create, "other", "--constraint", "node.foo", "nginx"],
        "Error response from daemon: rpc error: code = Unknown desc = constraint expected one operator from ==, !=",
      ],
      [
        [...create, "other", "--constraint", "node.$foo==x", "nginx"],
        "Error response from daemon: rpc error: code = Unknown desc = key 'node.$foo' is invalid",
      ],
      [["service", "update", "--detach", "--publish-add", "8080:81", "web"], duplicate],
      [
        ["service", "update", "--detach", "nosuch"],
        "Error response from daemon: service nosuch not found",
      ],
      [["service", "rm", "nosuch"], "Error response from daemon: service nosuch not found"],
      [
        ["service", "scale", "nosuch=2"],
        "nosuch: Error response from daemon: service nosuch not found",
      ],
      [["service", "ps", "nosuch"], "no such service: nosuch"],
      [["service", "logs", "nosuch"], "no such task or service: nosuch"],
    ] as const) {
      assert.equal(await swarm.refused(...args), text, args.join(" "));
    }
    assert.match(await swarm.refused("service", "inspect", "nosuch"), /no such service: nosuch$/i);
    assert.equal(await swarm.docker("service", "ls", "--format", "{{.Name}}"), "web");
    assert.deepEqual(containers(await swarm.running("web")), containers([task as RunningTask]));
    for (const [index, each] of swarm.hosts.entries()) {
      assertSameTraces(each, before[index] ?? {}, await tracesOf(each));
    }
  });

  test("a host-mode port is refused to the mesh while a service has it", async () => {
    const publish = "published=8090,target=80,mode=host";
    await swarm.create("direct", "--publish", publish, "--mode", "global", "nginx");
    assert.equal(
      await swarm.ports("direct"),
      '[{"Protocol":"tcp","TargetPort":80,"PublishedPort":8090,"PublishMode":"host"}]',
    );
    const id = await swarm.docker("service", "inspect", "--format", "{{.ID}}", "direct");
    assert.equal(
      await swarm.refused("service", "create", "--detach", "--name", "w", "-p", "8090:80", "nginx"),
      `Error response from daemon: rpc error: code = InvalidArgument desc = port '8090' is already in use by service 'direct' (${id}) as a host-published port`,
    );
    await swarm.answering(8090);
    await swarm.remove("direct");
    await swarm.refusing(8090);
  });

  test("service rm leaves nothing of a service on any host", async () => {
    const before = await swarm.tracesAtRest();
    await Promise.all([
      swarm.create("web", "-p", "8080:80", "--replicas", "6", "nginx"),
      swarm.create("dns", "-p", "53:53", "-p", "53:53/udp", "--mode", "global", "dns-cache"),
      swarm.create("direct", "--publish", "published=8090,target=80,mode=host", "nginx"),
    ]);
    await swarm.answering(8080);
    await swarm.remove("web", "dns", "direct");
    await swarm.refusing(8080);
    for (const [index, host] of swarm.hosts.entries()) {
      const wanted = before[index] ?? {};
      await until(
        async () => {
          assertSameTraces(host, wanted, await tracesOf(host));
          return true;
        },
        { what: `nothing of the services to be left on ${host.name}` },
      );
    }
  });

  /** Which tasks answer a port, asked often enough through every node. */
  async function answeringTasks(published: number): Promise<string[]> {
    const probes = swarm.hosts.flatMap(({ ip }) =>
      Array.from({ length: 40 }, () => ({
        kind: "http" as const,
        address: ip,
        port: published,
      })),
    );
    const results = await probe(swarm.client(), probes);
    for (const { error } of results) assert.equal(error, undefined);
    return [...new Set(results.map(({ task }) => task))].sort();
  }
});

function containers(tasks: readonly RunningTask[]): string[] {
  return tasks.map(({ containerID }) => containerID).sort();
}
