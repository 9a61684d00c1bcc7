import { EXIT, ZddError } from '../../agent/protocol/errors.ts';
import type { Context } from '../context.ts';
import { ownerOf } from '../owner.ts';
import { commandFor, findTarget } from '../target.ts';

/** Begins the contract and waits for its end. @returns the exit code */
export async function runContract(context: Context, now: boolean): Promise<number> {
  const { screen } = context;
  const { signal } = context.interrupts;
  const agent = await context.agent();
  const target = await findTarget(context, agent);
  const { app } = target;
  const reply = await agent.contract(app, { owner: ownerOf(), now });
  screen.value(reply);
  if (reply.result === 'already_done') {
    screen.data(`${app}: the contract of ${reply.release} was run already`);
    return EXIT.ok;
  }
  screen.note(`the contract of ${reply.release} runs`);
  for await (const { event, raw } of agent.followEvents({ app, since: reply.since }, { signal })) {
    if (event?.type !== 'contract' || event.outcome === 'started') continue;
    screen.value(raw);
    if (event.outcome === 'ok') {
      screen.data(`${app}: the contract of ${event.release} is done, no older release comes back`);
      return EXIT.ok;
    }
    const [what = '', ...output] = event.detail.split('\n');
    throw new ZddError(
      'ZDD_RELEASE_COMMAND_FAILED',
      `the contract of ${event.release} failed: ${what}`,
      {
        evidence: output.length === 0 ? [] : [['last output', output.join('\n')]],
        traffic: 'untouched',
        tries: [`${commandFor(context, target)('contract')}        once it is mended`],
      },
    );
  }
  return EXIT.interrupted;
}
