import { mkdir, open, readdir, readFile, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import type { InstanceSpec } from '../runner.ts';

const listen = z.discriminatedUnion('kind', [
  z.object({ kind: z.literal('none') }),
  z.object({ kind: z.literal('unix'), path: z.string(), activation: z.boolean() }),
  z.object({ kind: z.literal('tcp'), port: z.int(), activation: z.boolean() }),
]);

/** An instance's spec, as it is read back from JSON. */
export const instanceSpec = z.object({
  slot: z.string(),
  app: z.string(),
  release: z.string(),
  process: z.string(),
  command: z.union([z.string(), z.array(z.string())]),
  cwd: z.string(),
  env: z.record(z.string(), z.string()),
  listen,
  limits: z
    .object({
      memory: z.number().optional(),
      cpu: z.number().optional(),
      tasks: z.int().optional(),
      nofile: z.int().optional(),
    })
    .optional(),
});

/** One life of a holder: written before it is spawned, so that none is ever unknown. */
const generation = z.object({
  /** Names the life file, which the holder creates exclusively: its permission to run. */
  token: z.string(),
  bootId: z.string(),
  /** Restarts of the slot before this generation. */
  restarts: z.int(),
});
export type Generation = z.infer<typeof generation>;

const record = z.object({
  version: z.literal(1),
  spec: instanceSpec,
  intent: z.discriminatedUnion('kind', [
    z.object({ kind: z.literal('run'), generation }),
    /** `deadlineAt`: when SIGKILL follows, ms since the epoch. */
    z.object({ kind: z.literal('stop'), generation, deadlineAt: z.number() }),
    /** Nothing runs and nothing shall; the output is kept until it is forgotten. */
    z.object({ kind: z.literal('stopped') }),
  ]),
});

/** What shall be with a slot, as it stands on disk before it is made so. */
export interface SlotRecord {
  readonly spec: InstanceSpec;
  readonly intent: z.infer<typeof record>['intent'];
}

const SLOT_NAME = /^[A-Za-z0-9][A-Za-z0-9._-]{0,199}$/;

/** The folder of a slot. @throws RangeError for a name that is no file name */
export function slotFolder(stateDir: string, slot: string): string {
  if (!SLOT_NAME.test(slot)) throw new RangeError(`not a slot name: ${JSON.stringify(slot)}`);
  return join(stateDir, slot);
}

/** The life file of one generation. */
export function lifePath(folder: string, { token }: Generation): string {
  return join(folder, `life.${token}`);
}

/**
 * Writes the record so that it is whole and on the disk when this resolves, also after a power
 * cut. Only the owner may read it: the environment may hold secrets. Those go when it has stopped.
 */
export async function writeRecord(stateDir: string, { spec, intent }: SlotRecord): Promise<void> {
  const folder = slotFolder(stateDir, spec.slot);
  if ((await mkdir(folder, { recursive: true, mode: 0o700 })) !== undefined) await sync(stateDir);
  const kept = intent.kind === 'stopped' ? { ...spec, env: {} } : spec;
  const fresh = join(folder, 'record.new');
  const file = await open(fresh, 'w', 0o600);
  try {
    await file.writeFile(`${JSON.stringify({ version: 1, spec: kept, intent }, null, 2)}\n`);
    await file.sync();
  } finally {
    await file.close();
  }
  await rename(fresh, join(folder, 'record.json'));
  await sync(folder);
}

/** The record of a slot; undefined when there is none. @throws when it cannot be understood */
export async function readRecord(stateDir: string, slot: string): Promise<SlotRecord | undefined> {
  let text: string;
  try {
    text = await readFile(join(slotFolder(stateDir, slot), 'record.json'), 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
  return record.parse(JSON.parse(text));
}

/** The names of all slots that have a folder. */
export async function slotNames(stateDir: string): Promise<readonly string[]> {
  const entries = await readdir(stateDir, { withFileTypes: true });
  return entries
    .filter((entry) => entry.isDirectory() && SLOT_NAME.test(entry.name))
    .map((entry) => entry.name)
    .sort();
}

/** Deletes everything of a slot. */
export async function removeFolder(stateDir: string, slot: string): Promise<void> {
  await rm(slotFolder(stateDir, slot), { recursive: true, force: true });
}

async function sync(folder: string): Promise<void> {
  const handle = await open(folder, 'r');
  try {
    await handle.sync();
  } finally {
    await handle.close();
  }
}
