import type { StatusReply } from '../../agent/protocol/api.ts';
import type { Answered } from '../hosts/ask-all.ts';
import { typedAbout } from '../hosts/fleet.ts';
import { counted } from './amounts.ts';
import { findingLines } from './findings.ts';
import { EDGE, type Screen } from './screen.ts';
import { appCells, isAiling, NONE, newsOf } from './status.ts';
import { clean, leftRight, table, wrap } from './text.ts';
import { skewOf } from './version-skew.ts';

export interface FleetStatusOptions {
  /** Of `zdd.yaml`. */
  readonly environment: string | null;
  /** ms since the epoch. */
  readonly now: number;
  /** Version of this CLI. */
  readonly cli: string;
}

const HEAD = ['app', 'host', 'live', 'traffic', 'instances', 'since', 'warm'] as const;
const LIVE = 2;
const INSTANCES = 4;

/** One line for each app of each host, then what is going on and what needs attention, by host. */
export function fleetStatusLines(
  screen: Screen,
  answers: readonly Answered<StatusReply>[],
  { environment, now, cli }: FleetStatusOptions,
): string[] {
  const replies = answers.flatMap(({ host, answer }) => (answer ? [{ host, answer }] : []));
  const versions = [...new Set(replies.map(({ answer }) => answer.agent))].sort();
  const agents =
    versions.length === 0
      ? ''
      : `, ${versions.length === 1 ? 'agent' : 'agents'} ${versions.join(' and ')}`;
  const title = leftRight(
    screen.out.bold(environment ?? 'hosts'),
    `${counted(answers.length, 'host')}${agents}`,
    EDGE + screen.out.bold('').length,
  );
  const width = Math.max(0, ...answers.map(({ host }) => host.label.length)) + 2;
  const news = newsOf([], now).flatMap(([name], index) => {
    const rows = replies.flatMap(({ host, answer }) =>
      (newsOf(answer.apps, now)[index]?.[1] ?? []).map(
        (row) => `  ${host.label.padEnd(width)}${row}`,
      ),
    );
    return rows.length === 0 ? [] : ['', name, ...rows];
  });
  return [
    title,
    '',
    ...appTable(screen, answers, now),
    ...news,
    ...attention(screen, answers, cli),
  ];
}

interface Row {
  readonly cells: readonly string[];
  readonly state: 'well' | 'ailing' | 'away';
}

function appTable(
  screen: Screen,
  answers: readonly Answered<StatusReply>[],
  now: number,
): string[] {
  const rows: Row[] = answers.flatMap(({ host, answer }): Row[] => {
    if (answer === null) {
      return [{ cells: [NONE, host.label, 'unreachable', NONE, NONE, NONE, NONE], state: 'away' }];
    }
    return answer.apps.map((app) => {
      const { name, live, traffic, instances, since, warm } = appCells(app, now);
      return {
        cells: [name, host.label, live, traffic, instances, since, warm],
        state: isAiling(app) ? 'ailing' : 'well',
      };
    });
  });
  if (rows.length === 0) return ['no app yet. Try: zdd-agent push'];
  // An app's hosts stand together; those that say nothing come last.
  const sorted = rows.toSorted(
    (a, b) =>
      Number(a.state === 'away') - Number(b.state === 'away') ||
      (a.cells[0] ?? '').localeCompare(b.cells[0] ?? '', 'en'),
  );
  const paint = (text: string, column: number, row: number): string => {
    const state = sorted[row]?.state;
    if (column === LIVE && state === 'away') return screen.out.red(text);
    if (column === LIVE && text !== NONE) return screen.out.green(text);
    return column === INSTANCES && state === 'ailing' ? screen.out.yellow(text) : text;
  };
  return fitting(sorted.map(({ cells }) => cells)).lines(paint);
}

/** Narrower spaces, then instances as one number: whatever lets a line fit. */
function fitting(rows: readonly (readonly string[])[]) {
  const shorter = rows.map((cells) =>
    cells.map((cell, column) => (column === INSTANCES ? totalOf(cell) : cell)),
  );
  const choices = [
    { cells: rows, gap: 3 },
    { cells: rows, gap: 2 },
    { cells: shorter, gap: 2 },
  ];
  const fits = ({ cells, gap }: (typeof choices)[number]) =>
    table(HEAD, cells, undefined, gap).every((line) => line.length <= EDGE);
  const { cells, gap } = choices.find(fits) ?? { cells: shorter, gap: 2 };
  return {
    lines: (paint: (text: string, column: number, row: number) => string) =>
      table(HEAD, cells, paint, gap),
  };
}

/** `3/3` of `web 2/2, worker 1/1`. */
function totalOf(instances: string): string {
  const counts = [...instances.matchAll(/(\d+)\/(\d+)/g)];
  if (counts.length === 0) return instances;
  const sum = (at: 1 | 2) => counts.reduce((total, match) => total + Number(match[at]), 0);
  return `${sum(1)}/${sum(2)}`;
}

function attention(
  screen: Screen,
  answers: readonly Answered<StatusReply>[],
  cli: string,
): string[] {
  const width = Math.max(0, ...answers.map(({ host }) => host.label.length)) + 2;
  const lines = answers.flatMap(({ host, answer, error }) => {
    const found = answer
      ? [...skewOf(cli, answer.agent), ...answer.attention].flatMap((finding) =>
          findingLines(
            screen,
            { ...finding, tries: finding.tries.map((each) => typedAbout(host, each)) },
            '',
            EDGE - width,
          ),
        )
      : refusalLines(screen, error.message, error.tries, EDGE - width - 2);
    return found.map(
      (line, index) => `  ${(index === 0 ? host.label : '').padEnd(width)}${line.trimStart()}`,
    );
  });
  return lines.length === 0 ? [] : ['', screen.out.yellow('attention'), ...lines];
}

function refusalLines(
  screen: Screen,
  message: string,
  tries: readonly string[],
  width: number,
): string[] {
  const text = wrap(clean(message), width).map((line) => screen.out.red(line));
  return [
    ...text,
    ...tries.map((command, index) => `${index === 0 ? 'Try: ' : '     '}${clean(command)}`),
  ];
}
