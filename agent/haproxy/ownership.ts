import { randomBytes } from 'node:crypto';
import { access, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import { z } from 'zod';
import { ZddError } from '../protocol/errors.ts';
import type { ResolvedOptions } from './options.ts';
import { isAlive, startTimeOf } from './process-record.ts';

/** Which agent manages a `haproxy.cfg`. A process that no other can be taken for. */
const owner = z.object({ pid: z.int(), startTime: z.string(), workDir: z.string() });
type Owner = z.infer<typeof owner>;

/**
 * Makes sure that this agent is the only one that changes this HAProxy, by a record beside
 * `haproxy.cfg`. Two by mistake would take each other's servers out for ever; so the one that came
 * second changes nothing, also while the first is being restarted. The record of an agent whose
 * state is gone is taken over.
 * @throws ZDD_HAPROXY_IN_USE
 */
export async function claimHaproxy({ configPath, workDir }: ResolvedOptions): Promise<void> {
  const path = await recordPathOf(configPath);
  const found = await readOwner(path);
  if (found !== undefined) {
    const runs = await isAlive(found);
    if (runs && found.pid === process.pid) return;
    const mayReturn = found.workDir !== workDir && (await exists(found.workDir));
    if (runs || mayReturn) throw inUse(found, runs, configPath, path);
  }
  const startTime = await startTimeOf(process.pid);
  if (startTime === undefined) return;
  const temporary = `${path}.${randomBytes(6).toString('hex')}.tmp`;
  try {
    const record: Owner = { pid: process.pid, startTime, workDir };
    await writeFile(temporary, JSON.stringify(record), { mode: 0o644 });
    await rename(temporary, path);
  } catch (error) {
    await rm(temporary, { force: true }).catch(() => undefined);
    // Where nothing may be written nobody can fight over the file either, and its write says why.
    const code = error instanceof Error && 'code' in error ? String(error.code) : '';
    if (!['EACCES', 'ENOENT', 'EROFS', 'ENOTDIR'].includes(code)) throw error;
  }
}

function inUse(other: Owner, runs: boolean, configPath: string, path: string): ZddError {
  return new ZddError(
    'ZDD_HAPROXY_IN_USE',
    `Another agent manages this HAProxy; this one leaves it alone.`,
    {
      evidence: [
        ['haproxy.cfg', configPath],
        ['the other agent', runs ? `pid ${other.pid}` : 'does not run now'],
        ['it keeps its state in', dirname(other.workDir)],
      ],
      traffic: 'unchanged',
      tries: runs
        ? [`ps -o pid,user,args -p ${other.pid}`, 'systemctl status zdd-agentd']
        : [`sudo rm ${path}        if that agent will never run again`],
    },
  );
}

async function exists(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}

/** Beside the file itself, where a link leads: two names of one file are one HAProxy. */
async function recordPathOf(configPath: string): Promise<string> {
  const target = await realpath(configPath).catch(() => configPath);
  return join(dirname(target), `.${basename(target)}.zdd-agent`);
}

async function readOwner(path: string): Promise<Owner | undefined> {
  try {
    return owner.parse(JSON.parse(await readFile(path, 'utf8')));
  } catch {
    return undefined;
  }
}
