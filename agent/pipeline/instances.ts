import { type AppState, type Generation, generationsOf, type Scale } from '../core/model.ts';
import { slotsOf } from '../core/plan.ts';
import { extentOf } from '../core/traffic.ts';
import type { AppConfig } from '../protocol/app-config.ts';
import { calendarsOf } from '../protocol/cron.ts';
import { listenOf, type ProcessType } from '../protocol/process-type.ts';
import type { InstanceSpec, Listen } from '../runner/runner.ts';
import { environmentOf } from './environment.ts';
import { configOf, type Host, type HostSlot } from './host.ts';

/** What the host's own timeout of a stop is longer than ours: the agent kills first, ms. */
const STOP_MARGIN_MS = 5_000;

/**
 * The slots of a generation, given their places to listen the first time they are asked for. They
 * are written down before anything is started, so that a crash leaves no instance nobody knows.
 */
export async function ensureSlots(
  host: Host,
  app: string,
  generation: Generation,
): Promise<readonly HostSlot[]> {
  const known = host.slots.of(app, generation);
  if (known.length > 0) return known;
  const { deployment } = host.journal.state(app);
  const part = deployment?.id === generation.deployment ? deployment.part : undefined;
  return await addSlots(host, app, generation, generation, part?.processes);
}

/**
 * Gives a generation slots, named after the one that they are started for.
 * @param processes the process types that get some; all of them unless given
 */
export async function addSlots(
  host: Host,
  app: string,
  generation: Generation,
  namedAfter: Generation,
  processes?: readonly string[],
): Promise<HostSlot[]> {
  const config = configOf(host, app, generation);
  const taken = takenPorts(host);
  const records: HostSlot[] = [];
  const positions: number[] = [];
  const scale = scaleOf(host.journal.state(app));
  for (const [position, slot] of slotsOf(namedAfter, processPlans(config, scale)).entries()) {
    if (processes?.includes(slot.process) === false) continue;
    const type = config.processes[slot.process];
    if (type === undefined) throw new Error(`slot ${slot.name} has no process type`);
    const listen = await placeFor(host, app, slot.name, slot.process, type, taken);
    const spec = instanceSpec(host, app, namedAfter, slot.name, slot.process, type, config, listen);
    records.push({ ...slot, app, generation, spec });
    positions.push(position);
  }
  host.slots.add(records, positions);
  return records;
}

/** The scale of what is started now. */
export function scaleOf({ deployment, scale }: AppState): Scale {
  return deployment?.scale ?? scale;
}

/** What the plan needs to know of the process types of a release. */
export function processPlans(config: AppConfig, scale: Scale): Parameters<typeof slotsOf>[1] {
  return Object.entries(config.processes).map(([process, { instances, overlap }]) => ({
    process,
    instances: scale[process] ?? instances,
    takesTraffic: process === 'web',
    overlap,
  }));
}

/** Where the instance in a slot is to listen. @param taken ports that are spoken for */
export async function placeFor(
  host: Host,
  app: string,
  slot: string,
  process: string,
  type: ProcessType,
  taken: Set<number>,
): Promise<Listen> {
  const listen = listenOf(process, type);
  switch (listen) {
    case 'none':
      return { kind: 'none' };
    case 'port': {
      const port = await host.runner.freePort(taken);
      taken.add(port);
      return { kind: 'tcp', port, activation: false };
    }
    case 'socket':
    case 'fd':
      return {
        kind: 'unix',
        path: host.layout.socket(app, slot),
        activation: listen === 'fd',
      };
  }
}

function instanceSpec(
  host: Host,
  app: string,
  generation: Generation,
  slot: string,
  process: string,
  type: ProcessType,
  config: AppConfig,
  listen: Listen,
): InstanceSpec {
  return {
    slot: `${app}.${slot}`,
    app,
    release: generation.release,
    process,
    command: type.run,
    cwd: host.layout.release(app, generation.release),
    env: {
      ...environmentOf(host, app, generation, config, type),
      ZDD_SLOT: `${app}.${slot}`,
    },
    listen,
    limits: type.limits,
  };
}

/** The slots of a generation that shall run: all of them, unless it comes or leaves instance by instance. */
export function wantedSlots(
  { slots }: Pick<Host, 'slots'>,
  state: AppState,
  generation: Generation,
): HostSlot[] {
  const running = extentOf(state, generation)?.running ?? Number.POSITIVE_INFINITY;
  return slots
    .of(state.app, generation)
    .filter(({ takesTraffic, index }) => !takesTraffic || index <= running);
}

/** Ports that slots of this host have. */
export function takenPorts(host: Host): Set<number> {
  return new Set(
    host.slots
      .all()
      .flatMap(({ spec: { listen } }) => (listen.kind === 'tcp' ? [listen.port] : [])),
  );
}

/** How long an instance of this slot may take to end after SIGTERM, ms. */
export function graceOf(host: Host, slot: HostSlot): number {
  const type = configOf(host, slot.app, slot.generation).processes[slot.process];
  return type?.stop.grace ?? 10_000;
}

/**
 * Makes ready what an app needs of the host: its user, folders and units. One sandbox is for all of
 * its instances, so it takes what each release that runs, or is about to, asks for.
 */
export async function prepareApp(
  host: Host,
  app: string,
  coming: AppConfig,
  signal: AbortSignal,
): Promise<void> {
  const running = generationsOf(host.journal.state(app))
    .filter(({ release }) => host.releases.find(app, release) !== null)
    .map((generation) => configOf(host, app, generation));
  const configs = [coming, ...running];
  const graces = configs.flatMap(({ processes }) =>
    Object.values(processes).map(({ stop }) => stop.grace),
  );
  await host.runner.prepare(
    {
      app,
      stopTimeoutMs: Math.max(...graces) + STOP_MARGIN_MS,
      allow: [...new Set(configs.flatMap(({ sandbox }) => sandbox.allow))].toSorted(),
      calendars: stableCalendars(host, app),
    },
    signal,
  );
}

/** Jobs run in the release that serves: whatever else is prepared leaves their times alone. */
function stableCalendars(host: Host, app: string): Record<string, readonly string[]> {
  const { stable } = host.journal.state(app);
  const jobs = stable === null ? {} : configOf(host, app, stable).cron;
  return Object.fromEntries(Object.entries(jobs).map(([name, job]) => [name, calendarsOf(job)]));
}

/** Starts these slots; one that runs already is left alone. */
export async function startSlots(
  host: Host,
  slots: readonly HostSlot[],
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(slots.map((slot) => host.runner.start(slot.spec, signal)));
}

/** Stops these slots and waits until they are gone. */
export async function stopSlots(
  host: Host,
  slots: readonly HostSlot[],
  signal: AbortSignal,
): Promise<void> {
  await Promise.all(
    slots.map((slot) => host.runner.stop(slot.spec.slot, graceOf(host, slot), signal)),
  );
}

/** `zdd.yaml says web ×2`; empty where nothing is scaled. */
export function describeScale(config: AppConfig, scale: Scale): string {
  const scaled = Object.entries(config.processes).flatMap(([process, { instances }]) => {
    const wanted = scale[process] ?? instances;
    return wanted === instances ? [] : [`${process} ×${instances}`];
  });
  return scaled.length === 0 ? '' : `zdd.yaml says ${scaled.join(', ')}`;
}

/** `web ×2, worker ×1` */
export function describeSlots(slots: readonly HostSlot[]): string {
  const counts = new Map<string, number>();
  for (const { process } of slots) counts.set(process, (counts.get(process) ?? 0) + 1);
  return [...counts].map(([process, count]) => `${process} ×${count}`).join(', ');
}
