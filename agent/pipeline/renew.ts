import type { Generation } from '../core/model.ts';
import { configOf, type Host, type HostSlot, type Task } from './host.ts';
import { addSlots, describeSlots, prepareApp, startSlots } from './instances.ts';
import { staysAlive } from './probe.ts';
import { moveWorkers } from './promote.ts';

/**
 * Workers of the generation that serves give way to fresh ones. What may overlap has to stay alive
 * before its predecessor is stopped; what must not starts when that has ended. Traffic is no part of
 * it.
 * @throws ZDD_START_FAILED, ZDD_INSTANCE_CRASHED: `unrenewWorkers` leads back
 */
export async function renewWorkers(
  host: Host,
  task: Task,
  generation: Generation,
  processes: readonly string[],
): Promise<string> {
  const { app, signal } = task;
  const named = { ...generation, deployment: task.deployment ?? generation.deployment };
  await prepareApp(host, app, configOf(host, app, generation), signal);
  if (renewal(host, task, generation, processes).coming.length === 0) {
    await addSlots(host, app, generation, named, processes);
  }
  const { leaving, coming } = renewal(host, task, generation, processes);
  const beside = coming.filter(({ overlap }) => overlap);
  await startSlots(host, beside, signal);
  await stayAlive(host, task, beside);
  await moveWorkers(host, task, leaving, coming);
  await stayAlive(
    host,
    task,
    coming.filter(({ overlap }) => !overlap),
  );
  host.slots.drop(app, generation, namesOf(leaving));
  return coming.length === 0 ? 'nothing of it runs' : `${describeSlots(coming)} anew`;
}

/** The way back: the old ones run again, the fresh ones go. */
export async function unrenewWorkers(
  host: Host,
  task: Task,
  generation: Generation,
  processes: readonly string[],
): Promise<string> {
  const { leaving: old, coming: fresh } = renewal(host, task, generation, processes);
  // They are forgotten last of all: when they are, the fresh ones have taken over for good.
  if (old.length === 0) return `${describeSlots(fresh)} anew: too late to go back`;
  await moveWorkers(host, task, fresh, old);
  host.slots.drop(task.app, generation, namesOf(fresh));
  return `${describeSlots(old)} as before`;
}

/** What leaves and what comes: fresh slots carry the number of this very deployment. */
function renewal(
  host: Host,
  { app, deployment }: Task,
  generation: Generation,
  processes: readonly string[],
): { readonly leaving: readonly HostSlot[]; readonly coming: readonly HostSlot[] } {
  const slots = host.slots.of(app, generation).filter(({ process }) => processes.includes(process));
  const isFresh = ({ spec }: HostSlot): boolean => spec.env['ZDD_DEPLOYMENT'] === `${deployment}`;
  return { leaving: slots.filter((slot) => !isFresh(slot)), coming: slots.filter(isFresh) };
}

async function stayAlive(host: Host, task: Task, workers: readonly HostSlot[]): Promise<void> {
  await Promise.all(workers.map((slot) => staysAlive(host, slot, task.signal)));
}

function namesOf(slots: readonly HostSlot[]): string[] {
  return slots.map(({ name }) => name);
}
