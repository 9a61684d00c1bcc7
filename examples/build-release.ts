import { cp, mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { create } from 'tar';
import { parse, stringify } from 'yaml';

/** How a release of the example app behaves; `examples/shop/settings.js` says what each does. */
export interface ShopBehaviour {
  readonly version: string;
  readonly health?: 'never';
  readonly unhealthyAfterMs?: number;
  readonly failAfterRequests?: number;
  readonly status?: number;
  /** Share of answers that fail after `failAfterRequests`, 0 to 1. */
  readonly share?: number;
  readonly failMethod?: string;
  readonly hangAfterRequests?: number;
  readonly delayMs?: number;
  readonly crashAfterMs?: number;
  readonly slowStartMs?: number;
}

/** A part of a `zdd.yaml`: objects are merged key by key, anything else replaces; null removes. */
export type ConfigOverrides = { readonly [key: string]: ConfigValue };
export type ConfigValue =
  | string
  | number
  | boolean
  | null
  | readonly ConfigValue[]
  | ConfigOverrides;

export interface ShopRelease {
  readonly behaviour: ShopBehaviour;
  readonly config?: ConfigOverrides;
  /** More files of the release, or other contents of its own: path inside the release to text. */
  readonly files?: Readonly<Record<string, string>>;
}

export interface BuiltRelease {
  /** The `tar.gz`. */
  readonly path: string;
  readonly bytes: number;
}

const SHOP = fileURLToPath(new URL('./shop', import.meta.url));
const WS = fileURLToPath(new URL('../node_modules/ws', import.meta.url));

/**
 * Packs the example app into `folder` as `shop-<version>.tar.gz`, dependencies included. The same
 * release always gives the same bytes.
 */
export async function buildRelease(folder: string, release: ShopRelease): Promise<BuiltRelease> {
  const staging = await mkdtemp(join(tmpdir(), 'zdd-shop-'));
  try {
    await layOutRelease(staging, release);
    const path = join(folder, `shop-${release.behaviour.version}.tar.gz`);
    await mkdir(folder, { recursive: true });
    await create(
      { cwd: staging, file: path, gzip: true, portable: true, mtime: new Date(0) },
      await filesOf(staging),
    );
    return { path, bytes: (await stat(path)).size };
  } finally {
    await rm(staging, { recursive: true, force: true });
  }
}

/** Writes the release as a plain folder: for tools that run an app where it lies. */
export async function layOutRelease(folder: string, release: ShopRelease): Promise<void> {
  await cp(SHOP, folder, {
    recursive: true,
    filter: (source) => !source.endsWith('node_modules'),
  });
  await cp(WS, join(folder, 'node_modules/ws'), { recursive: true });
  await writeFile(join(folder, 'behaviour.json'), `${JSON.stringify(release.behaviour)}\n`);
  await writeFile(join(folder, 'zdd.yaml'), await configText(release.config ?? {}));
  for (const [path, text] of Object.entries(release.files ?? {})) {
    await mkdir(join(folder, path, '..'), { recursive: true });
    await writeFile(join(folder, path), text);
  }
}

async function configText(overrides: ConfigOverrides): Promise<string> {
  const text = await readFile(join(SHOP, 'zdd.yaml'), 'utf8');
  return stringify(merge(parse(text), overrides));
}

function merge(base: unknown, override: ConfigValue): unknown {
  if (!isRecord(base) || !isRecord(override)) return override;
  const merged: Record<string, unknown> = { ...base };
  for (const [key, value] of Object.entries(override)) {
    if (value === null) delete merged[key];
    else merged[key] = merge(merged[key], value);
  }
  return merged;
}

function isRecord<T>(value: T): value is T & Readonly<Record<string, ConfigValue>> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** Files only and in one order, so that the archive does not depend on the file system. */
async function filesOf(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1))
    .sort();
}
