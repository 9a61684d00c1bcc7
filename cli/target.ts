import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { ZddError } from '../agent/protocol/errors.ts';
import type { Agent } from './connect/agent.ts';
import type { Context } from './context.ts';
import { CONFIG_FILE, nearestConfigFolder } from './push/source/config.ts';

/** The app a verb is about. */
export interface Target {
  readonly app: string;
  /** Whether the same verb typed again, here, finds the same app without being told. */
  readonly implied: boolean;
}

/**
 * The named app, else that of the nearest `zdd.yaml` upward, else the only one on the host.
 * @throws ZDD_USAGE when that leaves a choice, ZDD_APP_UNKNOWN when there is no app at all
 */
export async function findTarget(
  context: Context,
  agent: Agent,
  named: string | undefined = context.globals.app,
): Promise<Target> {
  if (named !== undefined) return { app: named, implied: false };
  const folder = await nearestConfigFolder(context.cwd);
  if (folder !== null) return { app: await appOf(join(folder, CONFIG_FILE)), implied: true };
  const { apps } = await agent.status(context.interrupts.signal);
  const [only, ...others] = apps;
  if (only === undefined) {
    throw new ZddError('ZDD_APP_UNKNOWN', 'there is no app on this host yet', {
      tries: ['zdd-agent push'],
    });
  }
  if (others.length > 0) {
    throw new ZddError('ZDD_USAGE', 'which app? There are several on this host', {
      evidence: [['apps', apps.map(({ app }) => app).join(', ')]],
      tries: [`zdd-agent ... --app ${only.app}`],
    });
  }
  return { app: only.app, implied: true };
}

/** What to type for a verb about this app on this agent, from where the user stands. */
export function commandFor(context: Context, target: Target): (verb: string) => string {
  const app = target.implied ? '' : ` --app ${target.app}`;
  // Asked when the command is shown: only then it is certain which host it is about.
  return (verb) => `zdd-agent ${verb}${app}${context.wayThere()}`;
}

/** Only the name: a `zdd.yaml` with a mistake further down must not be in the way of a rollback. */
async function appOf(path: string): Promise<string> {
  const { parse } = await import('yaml');
  let value: unknown;
  try {
    value = parse(await readFile(path, 'utf8'));
  } catch (cause) {
    throw unnamed(path, cause);
  }
  const named = z.object({ app: z.string().min(1) }).safeParse(value);
  if (!named.success) throw unnamed(path, named.error);
  return named.data.app;
}

function unnamed(path: string, cause: unknown): ZddError {
  return new ZddError('ZDD_CONFIG_INVALID', `${CONFIG_FILE} does not say which app this is`, {
    evidence: [['file', path]],
    tries: ['zdd-agent config check', 'zdd-agent ... --app NAME'],
    cause,
  });
}
