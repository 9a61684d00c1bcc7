import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { z } from 'zod';
import { releasesReply } from '../../agent/protocol/api.ts';
import { DEFAULT_SOCKET } from '../../agent/protocol/contact.ts';
import { statusReply } from '../../agent/protocol/status.ts';
import { localSocket } from '../connect/local-socket.ts';
import type { Context } from '../context.ts';
import { CONFIG_FILE, nearestConfigFolder } from '../push/source/config.ts';

/** Somebody waits with a finger on Tab: later than this, nothing is better than an answer. */
const DEADLINE_MS = 300;

/**
 * Words for completion, one a line: from the nearest `zdd.yaml` and from an agent on this machine,
 * never over a network. Whatever goes wrong, nothing is said.
 * @param what `apps`, `releases`, `processes`, `scales` or `environments`
 */
export async function printValues(context: Context, what: string | undefined): Promise<number> {
  const signal = AbortSignal.any([context.interrupts.signal, AbortSignal.timeout(DEADLINE_MS)]);
  const words = await valuesOf(context, what, signal).catch(() => []);
  // They end up in a shell: nothing that could mean more to it than a word.
  const plain = [...new Set(words)].filter((word) => /^[\w.@][\w.@-]*=?$/.test(word));
  context.screen.value(plain);
  if (plain.length > 0) context.screen.data(plain.join('\n'));
  return 0;
}

async function valuesOf(
  context: Context,
  what: string | undefined,
  signal: AbortSignal,
): Promise<string[]> {
  switch (what) {
    case 'apps':
      return (await status(context, signal)).apps.map(({ app }) => app);
    case 'releases':
      return releases(context, signal);
    case 'processes':
      return Object.keys((await nearestConfig(context)).processes);
    case 'scales':
      return Object.keys((await nearestConfig(context)).processes).map((name) => `${name}=`);
    case 'environments':
      return Object.keys((await nearestConfig(context)).environments);
    default:
      return [];
  }
}

async function releases(context: Context, signal: AbortSignal): Promise<string[]> {
  const app = (await nearestConfig(context)).app ?? (await onlyApp(context, signal));
  const path = `/v1/apps/${encodeURIComponent(app)}/releases`;
  const reply = await agent(context).request('GET', path, () => releasesReply, { signal });
  return reply.releases.map(({ release }) => release);
}

async function onlyApp(context: Context, signal: AbortSignal): Promise<string> {
  const { apps } = await status(context, signal);
  const [only] = apps;
  if (only === undefined || apps.length > 1) throw new Error('there is no choice to make here');
  return only.app;
}

function status(context: Context, signal: AbortSignal) {
  return agent(context).request('GET', '/v1/status', () => statusReply, { signal });
}

function agent({ globals }: Context) {
  return localSocket(globals.socket ?? (process.env['ZDD_SOCKET_PATH'] || DEFAULT_SOCKET));
}

const named = z.record(z.string(), z.unknown()).catch({});
const sketch = z.object({
  app: z.string().optional().catch(undefined),
  processes: named.default({}),
  environments: named.default({}),
});

/** Only names: a file with mistakes has them as well. */
async function nearestConfig(context: Context): Promise<z.output<typeof sketch>> {
  const { app } = context.globals;
  const folder = await nearestConfigFolder(context.cwd);
  if (folder === null) return sketch.parse({ app });
  const { parse } = await import('yaml');
  const found = sketch.parse(parse(await readFile(join(folder, CONFIG_FILE), 'utf8')));
  return app === undefined ? found : { ...found, app };
}
