/**
 * Where Weft answers otherwise than an Engine 20.10 in swarm mode, on purpose, and why. By command, as steps.ts
 * has it; what stands here and does not differ is an error, so that the list stays true.
 */
export const DIFFERENCES: Readonly<Record<string, string>> = {
  "docker info --format '{{json .Swarm}}'":
    "the default address pool is named also where nobody chose one",
  "docker node ls --filter membership=accepted --format {{.Hostname}}":
    "a member is one; the Engine does not list a swarm's first node",
  "docker config create --template-driver golang tpl -":
    "a config is read as it was stored; a template would be read as its own text, so it is refused",
  "docker service create --detach --no-resolve-image --name none --env X={{.Foo}} busybox sleep 10000":
    "names the placeholders that there are",
  "docker service create --detach --no-resolve-image --name gpu --generic-resource gpu=1 busybox sleep 10000":
    "no node of Weft's offers generic resources, so a service that asks for them would wait for ever",
  "docker service create --detach --no-resolve-image --name isolated --isolation hyperv busybox sleep 10000":
    "no Linux host can honour it, so its tasks would fail one after the other",
  "docker swarm init --advertise-addr {ip} --cert-expiry 1m":
    "refused before anything is made; the Engine says so when it has made a swarm, with other settings",
  "docker network inspect ingress":
    "no container and no list of peers stands behind the network: the kernels of all hosts are its sandbox",
  "docker network create -d overlay --opt encrypted --label gone hidden":
    "packets between nodes are not encrypted, and nobody is to believe that they are",
};
