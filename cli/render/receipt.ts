import { formatDuration } from '../../agent/protocol/duration.ts';
import type { Receipt } from '../../agent/protocol/events.ts';
import { clock, count, dateTime } from './amounts.ts';
import { rows } from './error.ts';
import { EDGE, type Screen } from './screen.ts';
import { clean, leftRight, wrap } from './text.ts';
import { VERBS } from './verbs.ts';

const VERB = 14;

/** The whole story of a deployment that has ended, for `why`. */
export function receiptLines(screen: Screen, receipt: Receipt): string[] {
  const { green, red } = screen.out;
  const outcome = receipt.outcome.replace('_', ' ');
  const paint = receipt.outcome === 'succeeded' ? green : red;
  const head = [`${receipt.app} #${receipt.deployment}`, receipt.release ?? '', outcome]
    .filter((part) => part !== '')
    .join('  ');
  const lines = [
    leftRight(head, dateTime(receipt.startedAt), EDGE).replace(outcome, paint(outcome)),
    ...rows([
      ['kind', kindText(receipt)],
      ['before', receipt.previous ?? 'nothing'],
      ['took', tookText(receipt)],
      ['requests', requestsText(receipt)],
    ]),
    '',
  ];
  for (const step of receipt.steps) {
    const elapsed = formatDuration(step.ms);
    const text = wrap(clean(step.summary), EDGE - VERB - 2 - elapsed.length - 2);
    lines.push(
      leftRight(`  ${VERBS[step.phase].padEnd(VERB)}${text[0] ?? ''}`, elapsed, EDGE),
      ...text.slice(1).map((line) => ' '.repeat(VERB + 2) + line),
    );
  }
  const verdicts = (receipt.verdicts ?? []).map(({ gate, says }): [string, string] => [
    gate.replace('-', ' '),
    says,
  ]);
  if (verdicts.length > 0) lines.push('', ...rows([...verdicts, ['evidence', seenText(receipt)]]));
  if (receipt.error) {
    const { code, message, evidence, traffic, tries } = receipt.error;
    lines.push('', ...rows([['why', `${code}: ${message}`], ...evidence, ...where(traffic)]));
    tries.forEach((command, index) => {
      lines.push(`${index === 0 ? 'Try: ' : '     '}${clean(command)}`);
    });
  }
  return lines;
}

function kindText({ kind, owner, source = '' }: Receipt): string {
  const by = owner === undefined ? '' : ` by ${owner}`;
  return `${kind}${by}${source === '' || kind !== 'deploy' ? '' : `, from ${source}`}`;
}

/** When the requests came on which the verdicts rest. */
function seenText({ verdicts = [] }: Receipt): string {
  const from = Math.min(...verdicts.map(({ window }) => window.from));
  const to = Math.max(...verdicts.map(({ window }) => window.to));
  return `seen from ${dateTime(from)} to ${clock(to)}`;
}

function where(traffic: string | undefined): [string, string][] {
  return traffic === undefined ? [] : [['traffic', traffic]];
}

function tookText({ totalMs, switchMs }: Receipt): string {
  const switched =
    switchMs === null ? 'traffic did not move' : `switch ${formatDuration(switchMs)}`;
  return `${formatDuration(totalMs)}, ${switched}`;
}

function requestsText({ requests, lost, appErrors }: Receipt): string {
  return `${count(requests)}, ${count(lost)} lost, ${count(appErrors)} errors by the app itself`;
}
