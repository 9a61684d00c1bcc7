import type { Command } from '../command.ts';

export const contract: Command = {
  name: 'contract',
  summary: 'run the contract of the live release: no older one comes back after it',
  description:
    'Runs the command that zdd.yaml of the live release names as contract: it takes away what only older releases need, such as a column that is not written any more. Refused while an older release is kept warm or still works; a rollback across it is refused afterwards. Nobody deploys meanwhile. Run once for a release; again when it has failed.',
  examples: [
    ['zdd-agent contract', 'once no older release can come back'],
    ['zdd-agent contract --now', 'give up the rollback that is still possible'],
  ],
  aside: true,
  args: [],
  options: [{ flags: '--now', description: 'although an older release is kept warm' }],
  async run(input, context) {
    const { runContract } = await import('../watch/contract.ts');
    return runContract(context, input.flag('now'));
  },
};
