/** The archive format of `docker save`: a manifest, the image's configuration, and one layer. */
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { runOk } from "./process.ts";

/** The part of an image's configuration that a Dockerfile sets. */
export interface ImageConfig {
  readonly Cmd: readonly string[];
  readonly Env: readonly string[];
  readonly ExposedPorts?: Readonly<Record<string, object>>;
  readonly StopSignal?: string;
}

export interface ImageInit {
  /** With its tag. */
  readonly name: string;
  /** The directory that becomes the image's file system. */
  readonly root: string;
  readonly config: ImageConfig;
  /** A directory for what is made on the way; the archive is in it. */
  readonly work: string;
}

/** Packs one image; the same input gives the same image id. Resolves with the archive's path. */
export async function packImage({ name, root, config, work }: ImageInit): Promise<string> {
  const content = join(work, "content");
  mkdirSync(join(content, "layer"), { recursive: true });
  const layer = join(content, "layer", "layer.tar");
  await tar(root, layer);
  const json = JSON.stringify({
    architecture: process.arch === "x64" ? "amd64" : process.arch,
    os: "linux",
    created: "2024-01-01T00:00:00Z",
    config,
    rootfs: { type: "layers", diff_ids: [`sha256:${sha256(readFileSync(layer))}`] },
    history: [{ created: "2024-01-01T00:00:00Z", created_by: "weft lab" }],
  });
  const configFile = `${sha256(json)}.json`;
  writeFileSync(join(content, configFile), json);
  const manifest = [{ Config: configFile, RepoTags: [name], Layers: ["layer/layer.tar"] }];
  writeFileSync(join(content, "manifest.json"), JSON.stringify(manifest));
  const archive = join(work, "image.tar");
  await tar(content, archive);
  return archive;
}

async function tar(directory: string, file: string): Promise<void> {
  const reproducible = ["--sort=name", "--mtime=@0", "--owner=0", "--group=0", "--numeric-owner"];
  await runOk(["tar", ...reproducible, "-C", directory, "-cf", file, "."]);
}

function sha256(data: string | Uint8Array): string {
  return createHash("sha256").update(data).digest("hex");
}
