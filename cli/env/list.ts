import type { EnvironmentReply } from '../../agent/protocol/environment.ts';
import type { Context } from '../context.ts';
import { age, bytes } from '../render/amounts.ts';
import { clean, cut, table } from '../render/text.ts';
import { commandFor, findTarget } from '../target.ts';
import { formatDotenv } from './dotenv.ts';

const WHO = 24;

/** @param withValues as a file that `env import` takes. @returns the exit code */
export async function listVariables(context: Context, withValues: boolean): Promise<number> {
  const { screen, interrupts } = context;
  const agent = await context.agent();
  const target = await findTarget(context, agent);
  const reply = await agent.environment(target.app, withValues, interrupts.signal);
  screen.value(reply);
  const command = commandFor(context, target);
  if (reply.variables.length === 0) screen.note(`${reply.app} has no variables on this host.`);
  else if (withValues) screen.data(valuesOf(reply));
  else screen.data(rowsOf(reply).join('\n'));
  if (reply.leaving.length > 0) {
    screen.note(
      `\nunset or changed in zdd.yaml, still in ${reply.live}: ${reply.leaving.join(', ')}`,
    );
  }
  const late = reply.variables.some(({ inForce }) => inForce === false);
  if (late || reply.leaving.length > 0) screen.note(`\nTry: ${command('restart')}`);
  return 0;
}

function rowsOf({ variables, live }: EnvironmentReply): string[] {
  const now = Date.now();
  const rows = variables.map(({ name, bytes: size, changedAt, changedBy, inForce, overrides }) => [
    name,
    bytes(size),
    age(now - changedAt),
    cut(clean(changedBy), WHO),
    inForce === null ? '' : inForce ? 'yes' : 'no',
    overrides ? 'over zdd.yaml' : '',
  ]);
  const running = live === null ? '' : `in ${live.split('-')[0]}`;
  return table(['name', 'size', 'changed', 'by', running, ''], rows);
}

function valuesOf({ variables }: EnvironmentReply): string {
  const values = Object.fromEntries(variables.map(({ name, value = '' }) => [name, value]));
  const text = formatDotenv(values).trimEnd();
  return process.stdout.isTTY === true ? clean(text) : text;
}
