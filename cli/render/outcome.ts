import type { AppStatus } from '../../agent/protocol/api.ts';
import { formatDuration } from '../../agent/protocol/duration.ts';
import type { ErrorBody, ErrorCode } from '../../agent/protocol/errors.ts';
import { EXIT } from '../../agent/protocol/errors.ts';
import type { Receipt } from '../../agent/protocol/events.ts';
import { clock, count, counted, shortRelease } from './amounts.ts';
import { EDGE, type Screen } from './screen.ts';
import { leftRight } from './text.ts';

/** `live:` and `back:`, the lines that remain of a deployment that went well. */
export function successLines(
  screen: Screen,
  receipt: Receipt,
  app: AppStatus | null,
  command: (verb: string) => string,
): string[] {
  const { green } = screen.out;
  if (receipt.kind === 'stop') {
    const stopped = `stopped: ${receipt.app}  ${receipt.release ?? ''}`;
    const lost = `${count(receipt.lost)} of ${count(receipt.requests)} lost`;
    const line = leftRight(stopped, lost, EDGE).replace('stopped:', green('stopped:'));
    return [line, `back: ${command('start')}`];
  }
  if (app !== null && app.live !== null && app.live !== receipt.release) {
    // Looked at later: to call it live would send somebody the wrong way.
    const what = `succeeded: ${receipt.app} #${receipt.deployment}  ${receipt.release ?? ''}`;
    return [green(what), `live: ${app.live}`];
  }
  const routes = (app?.routes ?? []).filter((route) => route !== '*');
  const live = ['live:', routes.join(', '), `${receipt.release ?? '–'}`]
    .filter((part) => part !== '')
    .join('  ')
    .replace('live:  ', 'live: ');
  const lines = [leftRight(live, speed(receipt), EDGE).replace('live:', green('live:'))];
  if (receipt.previous !== null && receipt.previous !== receipt.release) {
    lines.push(leftRight(`back: ${command('rollback')}`, wayBack(receipt.previous, app), EDGE));
  }
  for (const text of stillHeld(app)) {
    lines.push(leftRight(`left: ${command('drain')}`, text, EDGE));
  }
  return lines;
}

function wayBack(previous: string, app: AppStatus | null): string {
  const warm = app?.generations.find(
    ({ role, release }) => role === 'warm' && release === previous,
  );
  if (!warm || warm.warmUntil === null) return `to ${shortRelease(previous)}`;
  return `instant until ${clock(warm.warmUntil)}, ${shortRelease(previous)} is warm`;
}

/** What users still hold of releases that take no new requests: `r41: 2 requests, 212 WebSockets`. */
function stillHeld(app: AppStatus | null): string[] {
  return (app?.generations ?? []).flatMap(({ role, release, requests, websockets, streams }) => {
    const held = [
      requests ? counted(requests, 'request') : '',
      websockets ? counted(websockets, 'WebSocket') : '',
      streams ? counted(streams, 'stream') : '',
    ].filter((text) => text !== '');
    const leaves = role === 'warm' || role === 'draining';
    return leaves && held.length > 0 ? [`${shortRelease(release)}: ${held.join(', ')}`] : [];
  });
}

/** `3.8s to live, 0 of 2,140 lost`: the time until new requests met the new release. */
function speed(receipt: Receipt): string {
  const lost = `${count(receipt.lost)} of ${count(receipt.requests)} lost`;
  const switched = receipt.steps.findIndex(({ phase }) => phase === 'switching');
  if (switched < 0) return lost;
  const ms = receipt.steps.slice(0, switched + 1).reduce((sum, step) => sum + step.ms, 0);
  return `${formatDuration(ms)} to live, ${lost}`;
}

/** What remains of a deployment that somebody ended on purpose, said to the one who did. */
export function endedLines(screen: Screen, receipt: Receipt): string[] {
  const what = receipt.outcome === 'rolled_back' ? 'rolled back' : 'aborted';
  const head = `${what}: ${receipt.app} #${receipt.deployment}`;
  const release = receipt.release === null ? '' : `  ${receipt.release}`;
  const live = receipt.previous === null ? 'nothing serves yet' : `live: ${receipt.previous}`;
  const lost = `${count(receipt.lost)} of ${count(receipt.requests)} lost`;
  return [
    `${screen.out.green(head)}${release}`,
    receipt.previous === null ? live : leftRight(live, lost, EDGE),
  ];
}

/** The error of a deployment that did not succeed, with what the receipt knows added. */
export function failureOf(receipt: Receipt): ErrorBody {
  if (receipt.error) {
    return receipt.error.traffic === undefined
      ? { ...receipt.error, traffic: trafficOf(receipt) }
      : receipt.error;
  }
  const codes: Record<Exclude<Receipt['outcome'], 'succeeded'>, ErrorCode> = {
    failed: 'ZDD_NEEDS_HUMAN',
    aborted: 'ZDD_ABORTED',
    rolled_back: 'ZDD_ROLLED_BACK',
  };
  const outcome = receipt.outcome === 'succeeded' ? 'failed' : receipt.outcome;
  return {
    code: codes[outcome],
    message: `${receipt.app} #${receipt.deployment} ${outcome.replace('_', ' ')}`,
    evidence: [],
    traffic: trafficOf(receipt),
    tries: [`zdd-agent why ${receipt.deployment}`],
  };
}

function trafficOf(receipt: Receipt): string {
  const serving =
    receipt.previous === null ? 'no release serves yet' : `100 % on ${receipt.previous}`;
  const moved = receipt.outcome === 'rolled_back' ? 'moved back' : 'untouched';
  return `${moved}: ${serving}, ${counted(receipt.lost, 'request')} lost`;
}

/** Exit code of a deployment by how it ended, where no error code says it better. */
export function exitOfOutcome(outcome: Receipt['outcome']): number {
  switch (outcome) {
    case 'succeeded':
      return EXIT.ok;
    case 'failed':
    case 'aborted':
      return EXIT.failedTrafficUntouched;
    case 'rolled_back':
      return EXIT.rolledBack;
  }
}
