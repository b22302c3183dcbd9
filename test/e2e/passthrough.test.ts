/** The rest of Docker, through Weft's socket: what is not the cluster's is the local Engine's. */
import assert from "node:assert/strict";
import { basename, dirname } from "node:path";
import { after, before, describe, test } from "node:test";
import { DOCKER_CLIS, type Host } from "../../src/lab/host.ts";
import { Lab } from "../../src/lab/lab.ts";
import { labUnavailable } from "../../src/lab/requirements.ts";
import { unixHttp } from "../../src/lab/unix-http.ts";
import { until } from "../../src/lab/until.ts";

const skip = (await labUnavailable()) ?? false;

describe("Docker's own commands", { skip }, () => {
  let lab: Lab;
  before(async () => {
    lab = await Lab.create({ hosts: 1, clients: 0, images: ["busybox"] });
    await lab.host(1).startDaemon();
  });
  after(() => lab?.[Symbol.asyncDispose]());

  for (const cli of DOCKER_CLIS) {
    describe(`with ${basename(dirname(dirname(cli)))}'s ${cli}`, () =>
      commands(() => lab.host(1), cli));
  }
});

function commands(host: () => Host, cli: string): void {
  const docker = (args: string[], stdin?: string) =>
    host().docker(args, { cli, ...(stdin === undefined ? {} : { stdin }) });
  const ok = async (...args: string[]) => (await host().dockerOk(args, { cli })).trim();

  test("run: output on its own stream, and the exit status", async () => {
    const script = "echo out; echo err >&2; exit 7";
    const { code, stdout, stderr } = await docker(["run", "--rm", "busybox", "sh", "-c", script]);
    assert.deepEqual({ code, stdout, stderr }, { code: 7, stdout: "out\n", stderr: "err\n" });
    const echoed = await docker(["run", "--rm", "-i", "busybox", "wc", "-c"], "x".repeat(100_000));
    assert.equal(echoed.stdout.trim(), "100000");
  });

  test("an Engine's refusal arrives, however soon it comes", async () => {
    await ok("create", "--name", "taken", "busybox", "true");
    const body = JSON.stringify({ Image: "busybox", Cmd: ["true"] });
    const again = {
      method: "POST",
      path: "/v1.41/containers/create?name=taken",
      headers: { "content-type": "application/json", "content-length": String(body.length) },
      body,
    };
    const answers = await Promise.all(
      Array.from({ length: 50 }, () => unixHttp(host().weftSocket, again)),
    );
    assert.deepEqual([...new Set(answers.map(({ status }) => status))], [409]);
    await ok("rm", "taken");
  });

  test("exec, ps, inspect, stop and rm of a container", async () => {
    const id = await ok("run", "-d", "--name", "box", "busybox", "sleep", "100000");
    assert.equal(await ok("ps", "-q", "--no-trunc"), id);
    const told = await docker(["exec", "-i", "box", "sh"], "echo $((6 * 7)); exit 5\n");
    assert.deepEqual([told.code, told.stdout], [5, "42\n"]);
    // A terminal of its own for the CLI: util-linux' script gives it one.
    const command = `${cli} -H unix:///run/weft.sock exec -it box tty`;
    const terminal = await host().exec(["script", "-qec", command, "/dev/null"]);
    assert.match(terminal.stdout, /\/dev\/pts\/\d+/);
    assert.equal(await ok("inspect", "--format", "{{.State.Running}}", "box"), "true");
    await ok("kill", "box");
    await ok("rm", "box");
    assert.equal(await ok("ps", "-aq"), "");
  });

  test("logs -f and attach follow a container to its end", async () => {
    const script = "while [ ! -e /tmp/end ]; do sleep 0.05; done; echo last";
    await ok("run", "-d", "--name", "talker", "busybox", "sh", "-c", `echo first; ${script}`);
    const weft = [cli, "-H", "unix:///run/weft.sock"];
    const logs = await host().spawn([...weft, "logs", "-f", "talker"]);
    const attached = await host().spawn([...weft, "attach", "--no-stdin", "talker"]);
    await until(() => logs.output().includes("first"), { what: "the first line" });
    await ok("exec", "talker", "touch", "/tmp/end");
    assert.equal(await logs.exited, 0);
    assert.equal(logs.output(), "first\nlast\n");
    assert.equal(await attached.exited, 0);
    assert.match(attached.output(), /last/);
    await ok("rm", "talker");
  });

  test("cp both ways, bit for bit", async () => {
    await ok("run", "-d", "--name", "files", "busybox", "sleep", "100000");
    await host().execOk(["dd", "if=/dev/urandom", "of=/tmp/sent", "bs=1M", "count=8"]);
    await ok("cp", "/tmp/sent", "files:/tmp/there");
    await ok("cp", "files:/tmp/there", "/tmp/back");
    await host().execOk(["cmp", "/tmp/sent", "/tmp/back"]);
    await ok("rm", "-f", "files");
  });

  test("events are streamed", async () => {
    const filter = ["--filter", "container=seen", "--format", "{{.Action}}"];
    const weft = [cli, "-H", "unix:///run/weft.sock"];
    const events = await host().spawn([...weft, "events", "--since", "0s", ...filter]);
    await ok("run", "--name", "seen", "--rm", "busybox", "true");
    await until(() => events.output().includes("destroy"), { what: "the container's events" });
    assert.match(events.output(), /^create\n(attach\n)?start\n(die|destroy)\n/m);
    await events.end("SIGTERM");
  });

  test("build makes an image that runs", async () => {
    const dir = "/tmp/context";
    await host().execOk(["mkdir", "-p", dir]);
    const lines = ["FROM busybox", "COPY Dockerfile /recipe", "RUN wc -l /recipe >/count"];
    const write = ["tee", `${dir}/Dockerfile`];
    await host().execOk(write, { stdin: `${lines.join("\n")}\nCMD ["cat", "/count"]\n` });
    const built = await host().docker(["build", "-q", "-t", "built", dir], {
      cli,
      env: { DOCKER_BUILDKIT: "0" },
    });
    assert.equal(built.code, 0, built.stderr);
    assert.equal(await ok("run", "--rm", "built"), "4 /recipe");
    await ok("rmi", "built");
  });
}
