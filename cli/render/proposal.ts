import type { InitFile } from '../init/files.ts';
import type { Proposal } from '../init/proposal.ts';
import type { Named } from '../init/zdd-yaml.ts';
import { EDGE, type Screen } from './screen.ts';
import { clean, wrap } from './text.ts';

interface Shown {
  readonly proposal: Proposal;
  readonly named: Named;
  readonly files: readonly InitFile[];
  readonly next: readonly string[];
}

/** What `init` found, what it guessed and why, what to look at, and what to type. */
export function proposalLines(screen: Screen, { proposal, named, files, next }: Shown): string[] {
  const { green, yellow } = screen.out;
  const proposed = files.filter(({ state }) => state === 'proposed');
  const written = files.filter(({ state }) => state === 'written' || state === 'replaced');
  const kept = files.filter(({ state }) => state === 'kept');
  return [
    ...wrap(`${clean(proposal.what)} (${proposal.from.join(', ')})`, EDGE - 7).map(
      (line, index) => `${index === 0 ? 'found  ' : '       '}${line}`,
    ),
    '',
    ...guessRows(proposal, named),
    ...section('look at', [...needs(proposal), ...proposal.checks]).map((line, index) =>
      index === 1 ? yellow(line) : line,
    ),
    ...proposed.flatMap(({ path, text }) => ['', `${path}:`, '', text.trimEnd()]),
    '',
    ...(written.length === 0 ? [] : [green(`wrote ${written.map(({ path }) => path).join(', ')}`)]),
    ...kept.map(({ path }) => `${path} was there already and stays as it is`),
    ...(proposed.length === 0 ? [] : ['nothing was written']),
    ...next.map((command, index) => `${index === 0 ? 'Next: ' : '      '}${command}`),
  ];
}

/** A value longer than this has its reason below. */
const WIDEST = 26;

/** What, and why, in two columns; a long reason goes below. */
function guessRows({ processes, release, shared }: Proposal, { app, hosts }: Named): string[] {
  const rows: [string, string, string][] = [['app', app.value, app.why]];
  for (const { name, run, listen, health } of processes) {
    rows.push([name, run.value, run.why]);
    if (listen.value !== 'none') rows.push(['  listen', listen.value, listen.why]);
    if (health) rows.push(['  health', health.value, health.why]);
  }
  if (release) rows.push(['release', `${release.value} (as a comment)`, release.why]);
  for (const { value, why } of shared) rows.push(['shared', value, why]);
  for (const host of hosts) rows.push(['host', host, '']);
  const labels = Math.max(...rows.map(([label]) => label.length)) + 2;
  const lengths = rows.map(([, value]) => clean(value).length);
  const values = Math.max(...lengths.filter((length) => length <= WIDEST)) + 2;
  return rows.flatMap(([label, value, why]) => {
    const head = `  ${label.padEnd(labels)}${clean(value)}`;
    const beside = `${head.padEnd(2 + labels + values)}${clean(why)}`.trimEnd();
    if (why === '' || (beside.length <= EDGE && clean(value).length <= values)) return [beside];
    return [
      head,
      ...wrap(clean(why), EDGE - labels - 4).map((line) => `${' '.repeat(labels + 4)}${line}`),
    ];
  });
}

function needs({ host }: Proposal): string[] {
  return host.map((each) => `the host needs ${each}`);
}

function section(title: string, lines: readonly string[]): string[] {
  if (lines.length === 0) return [];
  return [
    '',
    title,
    ...lines.flatMap((line) =>
      wrap(clean(line), EDGE - 4).map((part, index) => `${index === 0 ? '  - ' : '    '}${part}`),
    ),
  ];
}
