import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { AppState, Generation } from '../../core/model.ts';
import { slotsOf } from '../../core/plan.ts';
import { toPrune } from '../../core/retention.ts';
import { FULL_WEIGHT } from '../../core/traffic.ts';
import type { DesiredApp } from '../../haproxy/desired.ts';
import type { AppConfig } from '../../protocol/app-config.ts';
import { ZddError } from '../../protocol/errors.ts';
import { holdOf } from '../../protocol/hold.ts';
import {
  contentKey,
  MANIFEST_NAME,
  type Outline,
  parseManifest,
  parseOutline,
  type ReleaseEntry,
} from '../../protocol/manifest.ts';
import type { PreviewReply } from '../../protocol/preview.ts';
import { routesOf } from '../../protocol/routes.ts';
import { parseAppConfig } from '../../protocol/zdd-yaml.ts';
import { findContents } from '../../store/release-folder/contents.ts';
import type { Host } from '../host.ts';
import { placeFor, processPlans, scaleOf, takenPorts } from '../instances.ts';
import { sourcesOf } from '../receive.ts';
import { addressOf, desiredProxy } from '../traffic.ts';
import { overridden } from './overrides.ts';

/** Paths that are told of each kind; the rest is counted. */
const SHOWN = 20;

/**
 * What deploying this would change. Takes no number, writes nothing.
 * @throws ZDD_CONFIG_INVALID, ZDD_ARTIFACT_UNSAFE when `outline` is none
 */
export async function preview(
  host: Host,
  app: string,
  wish: { readonly config: string; readonly outline: string },
  signal: AbortSignal,
): Promise<PreviewReply> {
  const given = { text: wish.config, config: parseAppConfig(wish.config, 'zdd.yaml') };
  const { text, config } = await overridden(host, given);
  const outline = parseOutline(wish.outline);
  if (outline === null) throw new ZddError('ZDD_ARTIFACT_UNSAFE', 'that is no outline');
  const { stable } = host.journal.state(app);
  const record = stable === null ? null : host.releases.find(app, stable.release);
  const generation = comingGeneration(host, app, outline.digest);
  const files = outline.entries.filter((entry) => entry.type === 'file');
  const known = await findContents(files, sourcesOf(host, app), signal);
  const lacking = files.filter((file) => !known.has(contentKey(file)));
  return {
    schemaVersion: 1,
    app,
    release: generation.release,
    config: text,
    live: record === null ? null : { release: record.release, config: record.config },
    files: await changes(host, app, record?.release ?? null, outline),
    lacking: {
      files: lacking.length,
      bytes: lacking.reduce((sum, { bytes }) => sum + bytes, 0),
    },
    haproxy: await host.proxy.preview(await proxyAfter(host, app, generation, config)),
    pruned: prunedAfter(host, app, generation, config),
  };
}

function comingGeneration(host: Host, app: string, digest: string): Generation {
  const known = host.releases.findByDigest(app, digest)?.release;
  return {
    release: known ?? `r${host.releases.comingNumber(app)}-${digest.slice(0, 7)}`,
    deployment: host.journal.comingDeployment(app),
  };
}

async function changes(
  host: Host,
  app: string,
  live: string | null,
  { entries }: Outline,
): Promise<PreviewReply['files']> {
  const before = live === null ? new Map<string, string>() : await told(host, app, live);
  const added: string[] = [];
  const changed: string[] = [];
  for (const entry of entries) {
    if (entry.type === 'directory') continue;
    const was = before.get(entry.path);
    before.delete(entry.path);
    if (was === undefined) added.push(entry.path);
    else if (was !== contentOf(entry)) changed.push(entry.path);
  }
  return { added: some(added), changed: some(changed), removed: some([...before.keys()]) };
}

/** What the files and links of a release are, by path. */
async function told(host: Host, app: string, release: string): Promise<Map<string, string>> {
  const path = join(host.layout.release(app, release), MANIFEST_NAME);
  const manifest = await readFile(path, 'utf8').catch(() => '');
  return new Map(
    (parseManifest(manifest) ?? [])
      .filter(({ type }) => type !== 'directory')
      .map((entry) => [entry.path, contentOf(entry)]),
  );
}

function contentOf(entry: ReleaseEntry): string {
  switch (entry.type) {
    case 'directory':
      return 'directory';
    case 'symlink':
      return `link ${entry.target}`;
    case 'file':
      return `${entry.executable ? 'x' : '-'} ${contentKey(entry)}`;
  }
}

function some(paths: readonly string[]): { count: number; some: string[] } {
  return { count: paths.length, some: paths.slice(0, SHOWN) };
}

/** All traffic of the app on the new release, the old one gone. */
async function proxyAfter(
  host: Host,
  app: string,
  generation: Generation,
  config: AppConfig,
): Promise<{ apps: DesiredApp[] }> {
  const others = desiredProxy(host).apps.filter((other) => other.app !== app);
  const web = config.processes['web'];
  if (web === undefined) return { apps: others };
  const taken = takenPorts(host);
  const servers: DesiredApp['servers'][number][] = [];
  for (const slot of slotsOf(generation, processPlans(config, scaleOf(host.journal.state(app))))) {
    if (!slot.takesTraffic) continue;
    const listen = await placeFor(host, app, slot.name, slot.process, web, taken);
    const address = addressOf(listen);
    servers.push({ name: slot.name, address, weight: FULL_WEIGHT, state: 'ready' });
  }
  const hold = holdOf(config);
  const { health } = web;
  const check = health === undefined ? null : { path: health.path, status: health.status };
  const { access, redirect } = config;
  const routes = routesOf(config);
  return {
    apps: [
      ...others,
      {
        app,
        routes,
        access,
        redirect,
        check,
        servers,
        overload: { queueMs: config.overload.queue, page: config.overload.page ?? null },
        ...(hold === null
          ? {}
          : { hold: { on: false, withinMs: hold.within, requests: hold.requests } }),
      },
    ],
  };
}

function prunedAfter(host: Host, app: string, coming: Generation, config: AppConfig): string[] {
  const before = host.journal.state(app);
  const state: AppState = {
    ...before,
    stable: coming,
    stopped: null,
    deployment: null,
    retiring: [],
  };
  const known = host.releases.list(app).map(({ release, number, bytes, verdict }) => ({
    release,
    number,
    bytes,
    // What serves now will have been good.
    good: verdict === 'good' || release === before.stable?.release,
  }));
  const isNew = known.every(({ release }) => release !== coming.release);
  const number = host.releases.comingNumber(app);
  const releases = isNew
    ? [...known, { release: coming.release, number, bytes: 0, good: true }]
    : known;
  const bytes = config.keep_bytes ?? Number.POSITIVE_INFINITY;
  return toPrune(releases, state, { releases: config.keep, bytes });
}
