import { mkdir, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { instanceSpec } from '../process/record.ts';
import type { InstanceSpec } from '../runner.ts';
import { isMissing, keepWritten, readIfThere, syncFolder } from './durable-file.ts';
import { slotName } from './unit-names.ts';

const record = z.discriminatedUnion('kind', [
  z.object({ version: z.literal(1), kind: z.literal('instance'), spec: instanceSpec }),
  z.object({
    version: z.literal(1),
    kind: z.literal('once'),
    name: z.string(),
    /** Of the boot in which it began: nothing is known of it in another. */
    bootId: z.string(),
    timeoutMs: z.number(),
  }),
]);

/** What a folder below `slots/` is for. */
export type SlotRecord =
  | { readonly version: 1; readonly kind: 'instance'; readonly spec: InstanceSpec }
  | {
      readonly version: 1;
      readonly kind: 'once';
      readonly name: string;
      readonly bootId: string;
      readonly timeoutMs: number;
    };

export interface SlotScripts {
  readonly start: string;
  readonly stopped: string;
}

/** Where the slots of an app are; the folder above it is made by provisioning, group and all. */
function slotsFolder(stateDir: string, app: string): string {
  return join(stateDir, 'apps', app, 'slots');
}

/** The folder of a slot. @throws RangeError for what is no name of a slot */
export function slotFolder(stateDir: string, slot: string): string {
  const { app, name } = slotName(slot);
  return join(slotsFolder(stateDir, app), name);
}

/**
 * Writes what the units of a slot run. The scripts are for the app's group to read; the record is
 * ours, and last: a folder without it was never started from.
 */
export async function writeSlot(
  stateDir: string,
  slot: string,
  scripts: SlotScripts,
  made: SlotRecord,
): Promise<void> {
  const folder = slotFolder(stateDir, slot);
  await mkdir(folder, { recursive: true, mode: 0o750 });
  await keepWritten(join(folder, 'start'), scripts.start, 0o750);
  await keepWritten(join(folder, 'stopped'), scripts.stopped, 0o750);
  await keepWritten(join(folder, 'spec.json'), `${JSON.stringify(made, null, 2)}\n`, 0o600);
  await syncFolder(join(folder, '..'));
}

/** What is recorded of a slot; undefined when nothing is. @throws when it cannot be understood */
export async function readSlot(stateDir: string, slot: string): Promise<SlotRecord | undefined> {
  const text = await readIfThere(join(slotFolder(stateDir, slot), 'spec.json'));
  return text === undefined ? undefined : record.parse(JSON.parse(text));
}

/** Removes everything of a slot. */
export async function removeSlot(stateDir: string, slot: string): Promise<void> {
  await rm(slotFolder(stateDir, slot), { recursive: true, force: true });
}

/** Every slot of every app that has a folder. */
export async function allSlots(stateDir: string): Promise<readonly string[]> {
  const apps = await namesIn(join(stateDir, 'apps'));
  const slots = await Promise.all(apps.map((app) => slotsOfApp(stateDir, app)));
  return slots.flat();
}

/** Every slot of one app that has a folder. */
export async function slotsOfApp(stateDir: string, app: string): Promise<readonly string[]> {
  const names = await namesIn(slotsFolder(stateDir, app));
  return names.map((name) => `${app}.${name}`);
}

/** The releases of an app that are on the host. */
export async function releasesOf(stateDir: string, app: string): Promise<readonly string[]> {
  return await namesIn(join(stateDir, 'apps', app, 'releases'));
}

async function namesIn(folder: string): Promise<readonly string[]> {
  try {
    return (await readdir(folder)).filter((name) => !name.startsWith('.')).sort();
  } catch (error) {
    if (isMissing(error)) return [];
    throw error;
  }
}
