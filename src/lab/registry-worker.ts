/**
 * The registry's process: `node registry-worker.ts PLAN` answers the pulling half of the registry's
 * HTTP API, version 2, from unpacked image archives.
 */
import { createHash } from "node:crypto";
import { createReadStream, readFileSync, statSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import { join } from "node:path";

export interface RegistryPlan {
  readonly port: number;
  /** The unpacked archive (image-archive.ts) of each image. */
  readonly directories: Readonly<Record<string, string>>;
  /** The Authorization header to ask for. */
  readonly authorization: string | undefined;
}

interface Image {
  readonly manifest: string;
  readonly digest: string;
  readonly blobs: ReadonlyMap<string, string>;
}

const MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json";
const CONFIG_TYPE = "application/vnd.docker.container.image.v1+json";
/** The Engine unpacks an uncompressed layer under this name as well. */
const LAYER_TYPE = "application/vnd.docker.image.rootfs.diff.tar.gzip";

function main({ port, directories, authorization }: RegistryPlan): void {
  const images = new Map<string, Image>();
  for (const [name, directory] of Object.entries(directories)) {
    images.set(name, readImage(directory));
  }
  const server = createServer((request, response) => {
    response.once("finish", () => {
      process.stdout.write(`${request.method} ${request.url} ${response.statusCode}\n`);
    });
    response.setHeader("docker-distribution-api-version", "registry/2.0");
    if (authorization !== undefined && request.headers.authorization !== authorization) {
      response.setHeader("www-authenticate", 'Basic realm="weft lab"');
      refuse(response, 401, "UNAUTHORIZED", "authentication required");
      return;
    }
    answer(images, request, response);
  });
  server.listen(port, () => process.stdout.write("listening\n"));
}

function answer(
  images: ReadonlyMap<string, Image>,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  const url = request.url ?? "";
  if (url === "/v2/") {
    response.end("{}");
    return;
  }
  const [, name = "", kind, reference = ""] =
    /^\/v2\/(.+)\/(manifests|blobs)\/([^/]+)$/.exec(url) ?? [];
  const image = images.get(name);
  if (image === undefined) {
    refuse(response, 404, "NAME_UNKNOWN", "repository name not known to registry");
  } else if (kind === "manifests") answerManifest(image, reference, request, response);
  else answerBlob(image, reference, response);
}

function answerManifest(
  image: Image,
  reference: string,
  request: IncomingMessage,
  response: ServerResponse,
): void {
  if (reference !== "latest" && reference !== image.digest) {
    refuse(response, 404, "MANIFEST_UNKNOWN", "manifest unknown");
    return;
  }
  response.setHeader("content-type", MANIFEST_TYPE);
  response.setHeader("docker-content-digest", image.digest);
  response.setHeader("content-length", Buffer.byteLength(image.manifest));
  response.end(request.method === "HEAD" ? undefined : image.manifest);
}

function answerBlob(image: Image, digest: string, response: ServerResponse): void {
  const file = image.blobs.get(digest);
  if (file === undefined) {
    refuse(response, 404, "BLOB_UNKNOWN", "blob unknown to registry");
    return;
  }
  response.setHeader("content-type", "application/octet-stream");
  response.setHeader("content-length", statSync(file).size);
  createReadStream(file).pipe(response);
}

function refuse(response: ServerResponse, status: number, code: string, message: string): void {
  response.statusCode = status;
  response.setHeader("content-type", "application/json");
  response.end(JSON.stringify({ errors: [{ code, message }] }));
}

function readImage(directory: string): Image {
  const [saved] = JSON.parse(readFileSync(join(directory, "manifest.json"), "utf8")) as {
    readonly Config: string;
    readonly Layers: readonly string[];
  }[];
  if (saved === undefined) throw new Error(`no image in ${directory}`);
  const blobs = new Map<string, string>();
  const describe = (mediaType: string, path: string) => {
    const file = join(directory, path);
    const digest = `sha256:${sha256(readFileSync(file))}`;
    blobs.set(digest, file);
    return { mediaType, size: statSync(file).size, digest };
  };
  const manifest = JSON.stringify({
    schemaVersion: 2,
    mediaType: MANIFEST_TYPE,
    config: describe(CONFIG_TYPE, saved.Config),
    layers: saved.Layers.map((layer) => describe(LAYER_TYPE, layer)),
  });
  return { manifest, digest: `sha256:${sha256(manifest)}`, blobs };
}

function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}

if (import.meta.main) main(JSON.parse(process.argv[2] ?? "{}") as RegistryPlan);
