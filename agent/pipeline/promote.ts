import type { Generation } from '../core/model.ts';
import { handOver } from '../core/plan.ts';
import { ZddError } from '../protocol/errors.ts';
import type { Host, HostSlot, Task } from './host.ts';
import { ensureSlots, startSlots, stopSlots } from './instances.ts';
import { staysAlive } from './probe.ts';

/**
 * Hands background work from one generation to the other, in the order that keeps workers that must
 * not overlap apart.
 * @throws ZDD_HANDOVER_FAILED when a worker does not stay alive.
 */
export async function handOverWorkers(
  host: Host,
  task: Task,
  from: Generation | null,
  to: Generation | null,
): Promise<string> {
  const carried = carryOver(host, task.app, from, to);
  const leaving = from === null ? [] : host.slots.of(task.app, from);
  const coming = to === null ? [] : await ensureSlots(host, task.app, to);
  await moveWorkers(host, task, leaving, coming);
  const workers = coming.filter(({ takesTraffic, name }) => !takesTraffic && !carried.has(name));
  await stayAlive(host, task, workers);
  if (carried.size > 0 && workers.length === 0) {
    return `left as they run: ${[...carried].join(', ')}`;
  }
  return workers.length === 0
    ? 'nothing to hand over'
    : `workers on ${to?.release}: ${workers.map(({ name }) => name).join(', ')}`;
}

/** Hands background work back. What ran before needs no proof, and there is no other way back. */
export async function handBackWorkers(
  host: Host,
  task: Task,
  from: Generation | null,
  to: Generation | null,
): Promise<void> {
  carryOver(host, task.app, from, to);
  const leaving = from === null ? [] : host.slots.of(task.app, from);
  const coming = to === null ? [] : host.slots.of(task.app, to);
  await moveWorkers(host, task, leaving, coming);
}

/**
 * In a restart of some process types the workers of the others go on as they run: they belong to
 * whichever of the two generations stays.
 * @returns the names of their slots
 */
function carryOver(
  host: Host,
  app: string,
  from: Generation | null,
  to: Generation | null,
): ReadonlySet<string> {
  const part = host.journal.state(app).deployment?.part;
  if (part === undefined || from === null || to === null) return new Set();
  const others = ({ process }: HostSlot): boolean => !part.processes.includes(process);
  const leaving = host.slots.of(app, from).filter(others);
  host.slots.carry(
    app,
    from,
    to,
    leaving.map(({ name }) => name),
  );
  return new Set(
    host.slots
      .of(app, to)
      .filter(others)
      .map(({ name }) => name),
  );
}

/** Stops and starts in the order that keeps apart what must not overlap. May be repeated. */
export async function moveWorkers(
  host: Host,
  task: Task,
  leaving: readonly HostSlot[],
  coming: readonly HostSlot[],
): Promise<void> {
  const byName = new Map([...leaving, ...coming].map((slot) => [slot.name, slot]));
  for (const action of handOver(leaving, coming)) {
    const slot = byName.get(action.slot);
    if (slot === undefined) continue;
    if (action.act === 'start') await startSlots(host, [slot], task.signal);
    else await stopSlots(host, [slot], task.signal);
  }
}

async function stayAlive(host: Host, task: Task, workers: readonly HostSlot[]): Promise<void> {
  try {
    await Promise.all(workers.map((slot) => staysAlive(host, slot, task.signal)));
  } catch (error) {
    if (!(error instanceof ZddError)) throw error;
    throw new ZddError('ZDD_HANDOVER_FAILED', error.message, {
      evidence: error.evidence,
      tries: error.tries,
      cause: error,
    });
  }
}
