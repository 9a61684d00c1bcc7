import { stringify } from 'yaml';
import type { Guess, ProcessGuess, Proposal } from './proposal.ts';

/** Where comments stand beside short lines, and where lines end. */
const COMMENT_AT = 36;
const EDGE = 90;

export interface Named {
  readonly app: Guess;
  /** SSH destinations; none when nobody has said where to push. */
  readonly hosts: readonly string[];
  /** The name of where they are together. */
  readonly environment: string;
}

/** The proposed `zdd.yaml`: what was guessed with its reason, and the next keys as comments. */
export function zddYaml(proposal: Proposal, { app, hosts, environment: place }: Named): string {
  return [
    `# How zdd-agent runs this app: ${oneLine(proposal.what)}.`,
    '# Guessed by `zdd-agent init`: look at each line, then `zdd-agent config check`.',
    '# Every key: docs/config.md. For editors: zdd-agent config schema',
    '',
    line(0, `app: ${scalar(app.value)}`, app.why),
    '',
    '# The hosts this app answers for. Without it: every host that no other app has.',
    '# routes: [www.example.com]',
    '',
    ...environments(hosts, place),
    '',
    'processes:',
    ...proposal.processes.flatMap((each, index) => processLines(each, index > 0)),
    ...environment(proposal.env),
    ...release(proposal.release),
    ...shared(proposal.shared),
    '',
    '# How long the new release is watched under traffic before the old one may go.',
    '# bake: 2m',
    '',
    '# How long the old release may finish what it has begun.',
    '# drain: { requests: 10m, websockets: 10m, pace: 50/s }',
    '',
    '# Releases kept on the host.',
    '# keep: 5',
    '',
  ].join('\n');
}

function environments(hosts: readonly string[], name: string): string[] {
  if (hosts.length === 0) {
    return [
      '# Where to push, and as whom.',
      '# environments:',
      '#   production: { hosts: [deploy@web1.example.com] }',
    ];
  }
  return [
    '# Where to push, and as whom.',
    'environments:',
    `  ${name}:`,
    '    hosts:',
    ...hosts.map((host) => `      - ${scalar(host)}`),
  ];
}

function processLines(process: ProcessGuess, apart: boolean): string[] {
  const lines = [
    ...(apart ? [''] : []),
    `  ${process.name}:`,
    line(4, `run: ${scalar(process.run.value)}`, process.run.why),
  ];
  if (process.listen.value !== (process.name === 'web' ? 'socket' : 'none')) {
    lines.push(line(4, `listen: ${process.listen.value}`, process.listen.why));
  } else if (process.listen.value === 'socket') {
    lines.push(line(4, '# listen: socket', process.listen.why));
  }
  if (process.health) {
    lines.push(line(4, `health: ${scalar(process.health.value)}`, process.health.why));
    lines.push(line(4, '# instances: 2', 'how many of it run'));
  }
  if (!process.overlap) {
    lines.push(line(4, 'overlap: false', 'the old one stops before the new one starts'));
  }
  return lines;
}

function environment(env: Proposal['env']): string[] {
  if (env.length === 0) return [];
  return [
    '',
    '# For every process. No secrets: this file travels with each release.',
    'env:',
    ...env.map(({ name, value, why }) => line(2, `${name}: ${text(value)}`, why)),
  ];
}

function release(guess: Guess | null): string[] {
  return [
    '',
    '# Once, before traffic: migrations, if the old release can live with them.',
    line(0, `# release: ${guess === null ? 'npm run migrate' : scalar(guess.value)}`, guess?.why),
  ];
}

function shared(guesses: Proposal['shared']): string[] {
  if (guesses.length === 0) {
    return [
      '',
      '# Kept across releases; everything else in a release is read-only.',
      '# shared: [uploads/, .env]',
    ];
  }
  return [
    '',
    '# Kept across releases; everything else in a release is read-only.',
    'shared:',
    ...guesses.map(({ value, why }) => line(2, `- ${scalar(value)}`, why)),
  ];
}

/** A line with its reason beside it, or above it where both are long. */
function line(indent: number, code: string, why = ''): string {
  const space = ' '.repeat(indent);
  if (why === '') return space + code;
  const comment = `# ${oneLine(why)}`;
  const beside = `${(space + code).padEnd(COMMENT_AT)}  ${comment}`;
  return beside.length <= EDGE ? beside : `${space}${comment}\n${space}${code}`;
}

/** A value on one line, quoted where YAML would read something else. */
function scalar(value: string): string {
  return stringify(value, { lineWidth: 0, defaultStringType: 'PLAIN' }).trimEnd();
}

/** The same for a text that must stay one, such as `"1"`. */
function text(value: string): string {
  return /^[A-Za-z][\w./:-]*$/.test(value) ? scalar(value) : JSON.stringify(value);
}

/** Names of files may have any character; a comment ends with its line. */
function oneLine(value: string): string {
  return value.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, ' ');
}
