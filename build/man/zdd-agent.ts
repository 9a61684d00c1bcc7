import { ERRORS, EXIT } from '../../agent/protocol/errors.ts';
import type { Command } from '../../cli/command.ts';
import { GLOBAL_OPTIONS } from '../../cli/program.ts';
import { COMMANDS } from '../../cli/registry.ts';
import type { Block, Page } from './page.ts';

const EXIT_MEANS: Readonly<Record<keyof typeof EXIT, string>> = {
  ok: 'Done.',
  bug: 'A fault of zdd-agent itself.',
  usage: 'The command line is wrong, or there is nothing of that name.',
  config: 'zdd.yaml or the artifact is wrong.',
  unreachable: 'The agent cannot be reached, or its version does not fit.',
  locked: 'Another deployment of this app is running.',
  failedTrafficUntouched: 'Failed, traffic untouched.',
  rolledBack: 'Rolled back: traffic was on the new release and is back.',
  needsHuman: 'A human has to look.',
  interrupted: 'Interrupted; a deployment that was started goes on.',
};

/** What each exit code means, for the pages of both programs. */
export const EXIT_STATUS: readonly Block[] = Object.entries(EXIT_MEANS).map(([name, text]) => {
  const code = Object.entries(EXIT).find(([each]) => each === name)?.[1];
  return { kind: 'term', term: String(code), text };
});

/** zdd-agent(1), from the declarations that also make `--help`. */
export const ZDD_AGENT: Page = {
  name: 'zdd-agent',
  section: 1,
  summary: 'deploy web apps without a lost request',
  synopsis: COMMANDS.map(synopsisOf),
  sections: [
    [
      'DESCRIPTION',
      [
        {
          kind: 'text',
          text: 'zdd-agent packs, asks the agent of the host (see zdd-agentd(8)) and shows what happens. It decides nothing: a deployment belongs to the agent and goes on when zdd-agent is gone.',
        },
        {
          kind: 'text',
          text: 'Data goes to standard output, progress and errors to standard error. An error names its code, the evidence, where traffic is, and what to type next.',
        },
      ],
    ],
    ['COMMANDS', COMMANDS.flatMap(blocksOf)],
    ['OPTIONS OF EVERY COMMAND', GLOBAL_OPTIONS.map(optionBlock)],
    ['EXIT STATUS', EXIT_STATUS],
    [
      'ERRORS',
      [
        { kind: 'text', text: 'Match on the code (--json gives it), never on the message.' },
        ...Object.entries(ERRORS).map(
          ([code, { exit, means }]): Block => ({
            kind: 'term',
            term: code,
            text: `${means} (exit ${exit})`,
          }),
        ),
      ],
    ],
    [
      'ENVIRONMENT',
      [
        { kind: 'term', term: 'ZDD_SOCKET_PATH', text: 'Socket of the agent; --socket wins.' },
        { kind: 'term', term: 'ZDD_DEBUG', text: '1 adds the stack to an error.' },
        { kind: 'term', term: 'NO_COLOR', text: '1 turns colours off.' },
      ],
    ],
    [
      'FILES',
      [
        {
          kind: 'term',
          term: 'zdd.yaml',
          text: 'How an app runs; lies at the root of what is pushed.',
        },
        {
          kind: 'term',
          term: '.zddignore',
          text: 'What is not packed, by the rules of .gitignore.',
        },
        {
          kind: 'term',
          term: '/run/zdd-agent/agent.sock',
          text: 'Socket of the agent, for the group zdd.',
        },
        {
          kind: 'term',
          term: '/usr/share/doc/zdd-agent/',
          text: 'Every key of zdd.yaml, every error and what to do about it, operations.',
        },
      ],
    ],
    [
      'SEE ALSO',
      [{ kind: 'text', text: 'zdd-agentd(8), haproxy(1), systemctl(1), journalctl(1)' }],
    ],
  ],
};

function synopsisOf({ name, options, args }: Command): string {
  const some = options.length > 0 ? ['[OPTIONS]'] : [];
  return ['zdd-agent', name, ...some, ...args.map((arg) => arg.name)].join(' ');
}

function blocksOf(command: Command): readonly Block[] {
  const { description, args, options, examples } = command;
  return [
    { kind: 'heading', text: synopsisOf(command) },
    { kind: 'text', text: description },
    ...args.map((arg): Block => ({ kind: 'term', term: arg.name, text: arg.description })),
    ...options.map(optionBlock),
    { kind: 'lines', lines: examples.flatMap(([line, what]) => [`# ${what}`, line]) },
  ];
}

function optionBlock({ flags, description }: Command['options'][number]): Block {
  return { kind: 'term', term: flags, text: description };
}
