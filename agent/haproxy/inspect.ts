import { basename } from 'node:path';
import { holdScriptPath } from './config/hold.ts';
import {
  changeText,
  MAP_NAMES,
  mapPath,
  mapText,
  type RouteMaps,
  routeChanges,
} from './config/maps.ts';
import { appOf } from './config/names.ts';
import { replaceRegion } from './config/region.ts';
import { type ConfigFile, readConfigFile } from './config-file.ts';
import { type Context, renderWith } from './context.ts';
import { planServers, type Target, withoutMisplaced } from './converge.ts';
import type { DesiredProxy } from './desired.ts';
import { type Running, serverOf } from './observe.ts';
import type { Difference } from './proxy.ts';
import { observeRoutes } from './routes.ts';
import { differingTls } from './tls/converge.ts';
import { observeCurrent, onWorker, switchesBy } from './worker.ts';

/**
 * What differs between `wished`, the file and the running worker, in words. Changes nothing.
 * @throws ZDD_HAPROXY_REGION_BROKEN, ZDD_HAPROXY_DOWN, ZDD_HAPROXY_TIMEOUT, WorkerChanged
 */
export async function inspectProxy(
  context: Context,
  wished: DesiredProxy,
  signal: AbortSignal,
): Promise<readonly Difference[]> {
  const file = await readConfigFile(context.options.configPath);
  const { stands, cut, chroot } = file;
  const running = await observeCurrent(context, signal);
  const byReload = (await switchesBy(context, running, signal)) === 'reload';
  const desired = byReload ? context.switching.waiting(wished, running) : wished;
  const rendered = renderWith(context.options, desired, file);
  const said: string[] = [];
  if (stands === undefined) said.push('haproxy.cfg: missing');
  else if (stands.trim() === '') said.push('haproxy.cfg: empty');
  else if (cut === undefined) said.push('haproxy.cfg: no managed region');
  else if (replaceRegion(stands, rendered.text) !== stands) {
    said.push(firstEdit(cut.region, rendered.text, cut.firstLine));
  }
  if (running.shape !== rendered.shape) {
    said.push(
      running.shape === undefined
        ? 'haproxy: running without the managed region'
        : 'haproxy: running with another managed region than wanted, a reload is due',
    );
  }
  const all = planServers(desired, running, chroot);
  // What leaves without weight goes with the next reload.
  const plan = byReload ? { ...all, maintain: [], remove: [] } : all;
  for (const target of plan.add) said.push(`${name(target)}: missing at runtime`);
  for (const target of plan.revive) {
    const admin = serverOf(running, target.backend, target.server)?.admin;
    said.push(`${name(target)}: in ${admin}, wanted ready`);
  }
  const named = new Set([...plan.add, ...plan.revive, ...plan.maintain, ...plan.remove].map(name));
  for (const move of [...plan.raise, ...plan.lower]) {
    if (!named.has(name(move))) {
      said.push(`${name(move)}: weight ${move.from}, wanted ${move.to}`);
    }
  }
  for (const target of plan.maintain) said.push(`${name(target)}: in use, wanted maint`);
  for (const target of plan.remove) {
    // One in maintenance only waits for its last connections to be deleted.
    if (serverOf(running, target.backend, target.server)?.admin !== 'maint') {
      said.push(`${name(target)}: not wanted`);
    }
  }
  const kept = withoutMisplaced(desired, running, file.written, chroot);
  if (kept !== undefined) {
    for (const [index, app] of desired.apps.entries()) {
      const left = new Set(kept.apps[index]?.servers.map((server) => server.name));
      for (const server of app.servers) {
        if (!left.has(server.name)) said.push(`${app.app}/${server.name}: points elsewhere`);
      }
    }
  }
  if (rendered.holds && !file.hasHoldScript) {
    said.push(`${basename(holdScriptPath(file.folder))}: not what the agent wrote`);
  }
  if (rendered.maps !== undefined) {
    said.push(...(await differingRoutes(context, file, rendered.maps, running, signal)));
  }
  // Of another shape than wanted it may know no certificates of ours, and that has been said.
  if (rendered.tls !== undefined && running.shape === rendered.shape) {
    said.push(...(await differingTls(context, rendered.tls, file.folder, running.pid, signal)));
  }
  return said.map((what) => ({ what }));
}

async function differingRoutes(
  context: Context,
  file: ConfigFile,
  maps: RouteMaps,
  { pid }: Running,
  signal: AbortSignal,
): Promise<readonly string[]> {
  const files = MAP_NAMES.filter((name) => file.maps[name] !== mapText(name, maps[name])).map(
    (name) => `${basename(mapPath(file.folder, name))}: not what the agent wrote`,
  );
  const running = await onWorker(context, pid, signal, (conversation) =>
    observeRoutes(conversation, file.folder),
  );
  // Without maps it has another shape than wanted, and that has been said.
  if (running === undefined) return files;
  return [...files, ...routeChanges(running, maps).map(changeText)];
}

function firstEdit(region: string, wanted: string, firstLine: number): string {
  // Without the marker lines.
  const lines = region.split('\n').slice(1, -1);
  const wantedLines = wanted.split('\n').slice(0, -1);
  const at = Math.max(
    0,
    lines.findIndex((line, index) => line !== wantedLines[index]),
  );
  return `haproxy.cfg: managed region differs from line ${firstLine + 1 + at} on`;
}

function name({ backend, server }: Target): string {
  return `${appOf(backend) ?? backend}/${server}`;
}
