import type { EnvironmentChanged } from '../../agent/protocol/environment.ts';
import { ZddError } from '../../agent/protocol/errors.ts';
import type { Context } from '../context.ts';
import type { Input } from '../input.ts';
import { Interrupted } from '../interrupt.ts';
import { ownerOf } from '../push/source/origin.ts';
import { commandFor, findTarget } from '../target.ts';
import { canAsk } from '../watch/ask.ts';
import { steer } from '../watch/steer.ts';
import { readFile, readValues, refuseArguments } from './sources.ts';

interface Change {
  readonly set?: Readonly<Record<string, string>>;
  readonly unset?: readonly string[];
}

/** What was typed or piped once is for every host that the verb goes to. */
const read = new WeakMap<Input, Promise<Change>>();

/** @returns the exit code */
export async function setVariables(input: Input, context: Context): Promise<number> {
  return change(input, context, async () => ({
    set: await readValues(context, input.rest(0), input.text('file')),
  }));
}

/** @returns the exit code */
export async function importVariables(input: Input, context: Context): Promise<number> {
  return change(input, context, async () => ({
    set: await readFile(context, input.arg(0) ?? '-'),
  }));
}

/** @returns the exit code */
export async function unsetVariables(input: Input, context: Context): Promise<number> {
  return change(input, context, async () => {
    refuseArguments(input.rest(0));
    return { unset: input.rest(0) };
  });
}

async function change(
  input: Input,
  context: Context,
  find: () => Promise<Change>,
): Promise<number> {
  const known = read.get(input) ?? find();
  read.set(input, known);
  const { set = {}, unset = [] } = await known;
  const { screen } = context;
  const agent = await context.agent();
  const target = await findTarget(context, agent);
  const reply = await agent.changeEnvironment(target.app, {
    owner: ownerOf(),
    set: { ...set },
    unset: [...unset],
  });
  screen.value(reply);
  screen.data(describe(reply));
  if (!reply.pending) return 0;
  const command = commandFor(context, target);
  if (input.choice('restart') ?? (await wantsRestart(context, reply))) {
    return await restart(context, command);
  }
  screen.note(`${reply.live} runs on without ${reply.unset.length > 0 ? 'this change' : 'them'}.`);
  screen.note(`Try: ${command('restart')}        or they come with the next deploy`);
  return 0;
}

function describe({ app, set, unchanged, unset, live }: EnvironmentChanged): string {
  const parts = [
    set.length === 0 ? '' : `set ${set.join(', ')}`,
    unset.length === 0 ? '' : `unset ${unset.join(', ')}`,
    unchanged.length === 0 ? '' : `unchanged ${unchanged.join(', ')}`,
  ].filter((part) => part !== '');
  const later = live === null ? '; its next start will have it' : '';
  return `${app}: ${parts.join('; ')}${later}`;
}

/** One key on the terminal; anything but a yes is a no. */
async function wantsRestart({ screen }: Context, { app }: EnvironmentChanged): Promise<boolean> {
  if (!canAsk(screen)) return false;
  screen.raw(`Restart ${app} now, without losing a request? [y/N] `);
  const { stdin } = process;
  const key = await new Promise<string>((resolve) => {
    stdin.setRawMode(true);
    stdin.resume();
    stdin.once('data', (typed: Buffer) => resolve(typed.toString('latin1').toLowerCase()));
    stdin.once('end', () => resolve(''));
  });
  stdin.setRawMode(false);
  stdin.pause();
  screen.raw('\n');
  if (key === '\u0003') throw new Interrupted(['The values are kept; nothing was restarted.']);
  return key === 'y';
}

/** @throws ZDD_PROTOCOL_MISMATCH for an agent that has no such verb */
async function restart(context: Context, command: (verb: string) => string): Promise<number> {
  try {
    return await steer(context, { verb: 'restart', detach: false });
  } catch (cause) {
    const missing = cause instanceof ZddError && /^there is no POST/.test(cause.message);
    if (!missing) throw cause;
    throw new ZddError(
      'ZDD_PROTOCOL_MISMATCH',
      'the values are kept, but this agent cannot restart',
      {
        traffic: 'unchanged; the next deploy has the new values',
        tries: [command('push'), 'zdd-agent --version'],
        cause,
      },
    );
  }
}
