"""A cluster as a program in Python works it, by Docker's SDK. Ends with an exception at the first thing that is not so."""
import base64
import time

import docker
from docker.errors import APIError, NotFound
from docker.types import (
    ConfigReference,
    EndpointSpec,
    Healthcheck,
    IPAMConfig,
    IPAMPool,
    Mount,
    Resources,
    RestartPolicy,
    SecretReference,
    ServiceMode,
    UpdateConfig,
)

DEADLINE_S = 60
LOOK_S = 0.1
HUSH = b"hush"


def until(look, what):
    """What it saw, once that is something."""
    end = time.monotonic() + DEADLINE_S
    while time.monotonic() < end:
        seen = look()
        if seen:
            return seen
        time.sleep(LOOK_S)
    raise AssertionError(f"timed out waiting for {what}")


def refused(error, words, call, *args, **kwargs):
    """The call fails with this error, and these words in it."""
    try:
        call(*args, **kwargs)
    except error as caught:
        assert words in str(caught), caught
        return
    raise AssertionError(f"{call} was not refused with {words!r}")


def running(service, count, image_args=None):
    """Waits until so many tasks run, all with these arguments."""

    def look():
        tasks = service.tasks(filters={"desired-state": "running"})
        states = [task["Status"]["State"] for task in tasks]
        args = [task["Spec"]["ContainerSpec"].get("Args") for task in tasks]
        fits = image_args is None or all(each == image_args for each in args)
        return states == ["running"] * count and fits and tasks

    return until(look, f"{count} tasks of {service.name}")


def main():
    client = docker.DockerClient(base_url="unix:///run/weft.sock", version="auto")
    since = int(time.time())

    client.swarm.reload()
    assert client.swarm.attrs["JoinTokens"]["Worker"].startswith("SWMTKN-1-")
    assert client.info()["Swarm"]["ControlAvailable"] is True

    [manager] = client.nodes.list(filters={"role": "manager"})
    stale = manager.version
    spec = {**manager.attrs["Spec"], "Labels": {"sdk": "python"}}
    until(lambda: updated(manager, spec), "the node to be labelled")
    assert client.nodes.get(manager.id).attrs["Spec"]["Labels"] == {"sdk": "python"}
    refused(APIError, "update out of sequence", client.api.update_node, manager.id, stale, spec)
    refused(NotFound, "node none not found", client.nodes.get, "none")

    pool = IPAMPool(subnet="10.66.0.0/24", gateway="10.66.0.254")
    ipam = IPAMConfig(pool_configs=[pool])
    network = client.networks.create("py", driver="overlay", attachable=True, ipam=ipam)
    assert [each.id for each in client.networks.list(names=["py"])] == [network.id]
    refused(APIError, "network with name py already exists", client.networks.create, "py", "overlay")

    secret = client.secrets.create(name="py-key", data=HUSH, labels={"a": "b"})
    config = client.configs.create(name="py-conf", data=b"open")
    assert [each.name for each in client.secrets.list(filters={"label": "a=b"})] == ["py-key"]
    stored = client.configs.get(config.id).attrs["Spec"]
    assert base64.b64decode(stored["Data"]) == b"open"
    refused(APIError, "already exists", client.secrets.create, name="py-key", data=HUSH)

    script = "cat /run/secrets/py-key /etc/conf; echo; exec sleep 10000"
    service = client.services.create(
        "busybox",
        command=["sh", "-c"],
        args=[script],
        name="py",
        env=["A=1"],
        labels={"tier": "back"},
        container_labels={"c": "d"},
        constraints=["node.labels.sdk != none"],
        networks=["py"],
        mode=ServiceMode("replicated", replicas=2),
        endpoint_spec=EndpointSpec(ports={8085: (80, "tcp", "ingress")}),
        secrets=[SecretReference(secret.id, "py-key")],
        configs=[ConfigReference(config.id, "py-conf", filename="/etc/conf")],
        mounts=[Mount("/scratch", None, type="tmpfs")],
        resources=Resources(mem_limit=64 * 1024 * 1024),
        restart_policy=RestartPolicy(condition="on-failure", delay=1_000_000_000),
        update_config=UpdateConfig(parallelism=1, order="start-first"),
        healthcheck=Healthcheck(test=["CMD", "true"], interval=500_000_000),
        stop_grace_period=1_000_000_000,
        hostname="{{.Service.Name}}-{{.Task.Slot}}",
    )
    running(service, 2)
    said = until(lambda: b"".join(service.logs(stdout=True)).count(b"hushopen") == 2, "both to speak")
    assert said
    refused(APIError, "is in use by the following service: py", secret.remove)
    refused(APIError, "name conflicts with an existing object", client.services.create, "busybox", name="py")

    service.reload()
    stale = service.version
    assert service.update(args=["exec sleep 9999"], fetch_current_spec=True)
    running(service, 2, ["exec sleep 9999"])
    refused(
        APIError,
        "update out of sequence",
        client.api.update_service,
        service.id,
        stale,
        task_template=service.attrs["Spec"]["TaskTemplate"],
        name="py",
    )
    service.reload()
    assert service.attrs["Spec"]["EndpointSpec"]["Ports"][0]["PublishedPort"] == 8085
    assert service.scale(1)
    running(service, 1)
    before = running(service, 1)[0]["ID"]
    service.reload()
    assert service.force_update()
    until(lambda: running(service, 1)[0]["ID"] != before, "another task")

    seen = client.containers.run("busybox", "nslookup tasks.py 127.0.0.11", network="py", remove=True)
    assert b"10.66.0." in seen, seen
    box = client.containers.run("busybox", "cat", network="py", stdin_open=True, detach=True)
    assert client.containers.list(filters={"network": network.id, "id": box.id})
    assert box.attrs["NetworkSettings"]["Networks"]["py"]["NetworkID"] in ("", network.id)
    code, output = box.exec_run(["sh", "-c", "echo $((6 * 7)); exit 5"])
    assert (code, output) == (5, b"42\n")
    socket = box.attach_socket(params={"stdin": 1, "stream": 1, "stdout": 1})
    socket._sock.sendall(b"there\n")
    assert socket._sock.recv(100).endswith(b"there\n")
    assert next(box.logs(stream=True, follow=True)) == b"there\n"
    socket.close()
    box.remove(force=True)

    service.remove()
    refused(NotFound, "service py not found", client.services.get, "py")
    until(lambda: not client.api.tasks(filters={"name": "py"}), "no task")
    secret.remove()
    config.remove()
    until(lambda: removed(network), "the network to go")

    filters = {"type": ["service", "secret", "config", "network"], "scope": "swarm"}
    stream = client.events(since=since, until=int(time.time()) + 1, filters=filters, decode=True)
    told = {f"{each['Type']} {each['Action']}" for each in stream}
    kinds = ("service", "secret", "config", "network")
    assert told >= {f"{kind} {action}" for kind in kinds for action in ("create", "remove")}, told
    print("all is well")


def updated(node, spec):
    """Whether it is: what a node says of itself may have changed it in between."""
    node.reload()
    try:
        return node.update(spec)
    except APIError as error:
        assert "update out of sequence" in str(error), error
        return False


def removed(network):
    """Whether it is, as its last containers are."""
    try:
        network.remove()
        return True
    except APIError as error:
        assert "in use" in str(error), error
        return False


main()
