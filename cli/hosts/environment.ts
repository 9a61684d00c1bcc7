import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ZddError } from '../../agent/protocol/errors.ts';
import { CONFIG_FILE, nearestConfigFolder } from '../push/source/config.ts';
import { listHosts } from './host-list.ts';
import { hostSource } from './host-source.ts';

const environments = z.record(z.string(), z.looseObject({ hosts: hostSource }));
/** Used when there are several and none is named. */
const USUAL = 'production';

export interface Environment {
  readonly name: string;
  readonly hosts: readonly string[];
}

/**
 * The hosts of an environment of the nearest `zdd.yaml`. Only this part of the file is read: a
 * mistake further down must not be in the way of a rollback.
 * @param named default: the only one, else `production`
 * @returns null when there are no environments and none was asked for
 * @throws ZDD_CONFIG_MISSING, ZDD_CONFIG_INVALID; ZDD_USAGE naming the choices
 */
export async function readEnvironment(
  cwd: string,
  named: string | undefined,
  signal: AbortSignal,
): Promise<Environment | null> {
  const folder = await nearestConfigFolder(cwd);
  if (folder === null) {
    if (named === undefined) return null;
    throw new ZddError('ZDD_CONFIG_MISSING', `there is no ${CONFIG_FILE} here or above`, {
      evidence: [['asked for', `environment ${named}`]],
      tries: ['zdd-agent ... --host deploy@web1.example.com'],
    });
  }
  const known = await environmentsOf(join(folder, CONFIG_FILE));
  const names = Object.keys(known);
  if (names.length === 0 && named === undefined) return null;
  const name = named ?? (names.length === 1 ? names[0] : USUAL);
  const chosen = name === undefined ? undefined : known[name];
  if (name === undefined || chosen === undefined) throw unknown(named, names, folder);
  return { name, hosts: await listHosts(name, chosen.hosts, folder, signal) };
}

async function environmentsOf(path: string): Promise<z.infer<typeof environments>> {
  const text = await readFile(path, 'utf8').catch((cause: unknown) => {
    throw invalid(path, cause);
  });
  // A parser takes a tenth of the time that a command has for its first line.
  if (!text.includes('environments')) return {};
  const { parse } = await import('yaml');
  let value: unknown;
  try {
    value = parse(text);
  } catch (cause) {
    throw invalid(path, cause);
  }
  const read = z.object({ environments: environments.default({}) }).safeParse(value);
  if (!read.success) throw invalid(path, read.error);
  return read.data.environments;
}

function unknown(named: string | undefined, names: readonly string[], folder: string): ZddError {
  const [first] = names;
  return new ZddError(
    'ZDD_USAGE',
    named === undefined
      ? `which environment? ${CONFIG_FILE} has several and none called ${USUAL}`
      : `${CONFIG_FILE} has no environment ${named}`,
    {
      evidence: [
        ['environments', names.join(', ') || 'none'],
        ['file', join(folder, CONFIG_FILE)],
      ],
      tries: [first === undefined ? 'zdd-agent ... --host HOST' : `zdd-agent ... -e ${first}`],
    },
  );
}

function invalid(path: string, cause: unknown): ZddError {
  const why =
    cause instanceof z.ZodError
      ? cause.issues.map(({ path: at, message }) => `${at.join('.')}: ${message}`).join('; ')
      : cause instanceof Error
        ? (cause.message.split('\n')[0] ?? '')
        : String(cause);
  return new ZddError('ZDD_CONFIG_INVALID', `${CONFIG_FILE} does not say where to go`, {
    evidence: [
      ['file', path],
      ['why', why],
    ],
    tries: ['zdd-agent config check', 'zdd-agent ... --host HOST'],
    cause,
  });
}
