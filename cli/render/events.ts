import { formatDuration } from '../../agent/protocol/duration.ts';
import type { ZddEvent } from '../../agent/protocol/events.ts';
import type { VerdictReport } from '../../agent/protocol/verdict.ts';
import { clock, count, counted, dateTime } from './amounts.ts';
import type { Screen } from './screen.ts';
import { clean } from './text.ts';
import { VERBS } from './verbs.ts';

/** One line a change: when, which app and deployment, what. */
export function eventLine(screen: Screen, event: ZddEvent): string {
  const { green, yellow, red } = screen.out;
  const who = event.deployment === null ? event.app : `${event.app} #${event.deployment}`;
  const [mark, text] = told(event);
  const paint = { plain: (line: string) => line, done: green, attention: yellow, failed: red }[
    mark
  ];
  return `${dateTime(event.at)}  ${who.padEnd(10)}  ${paint(clean(text).replaceAll('\n', ' '))}`;
}

type Told = readonly ['plain' | 'done' | 'attention' | 'failed', string];

function told(event: ZddEvent): Told {
  switch (event.type) {
    case 'deployment_started': {
      const over = event.previous === null ? '' : ` over ${event.previous}`;
      const from = event.source === '' ? '' : `, from ${event.source}`;
      return ['plain', `${event.kind} started by ${event.owner}${over}${from}`];
    }
    case 'phase_changed':
      return ['plain', `phase ${event.from === null ? '' : `${event.from} → `}${event.to}`];
    case 'release_created':
      return ['plain', `release ${event.release}${event.reused ? ' was there already' : ''}`];
    case 'step_done':
      return [
        'plain',
        `${VERBS[event.step.phase]}: ${event.step.summary} (${formatDuration(event.step.ms)})`,
      ];
    case 'progress':
      return ['plain', `${VERBS[event.phase]}: ${event.message}`];
    case 'judged':
      return judged(event.verdicts);
    case 'paused':
      return ['attention', `paused: ${event.reason}`];
    case 'resumed':
      return ['plain', 'goes on'];
    case 'shadowed': {
      const { copied, dropped, failed, release } = event.shadow;
      const text = `${counted(copied, 'request')} copied to ${release}, ${count(failed)} failed that live answered, ${count(dropped)} dropped`;
      return [failed > 0 ? 'attention' : 'plain', `shadow: ${text}`];
    }
    case 'traffic_moved': {
      const shares = Object.entries(event.shares).map(
        ([release, share]) => `${release} ${share} %`,
      );
      const how = event.reloaded ? ' by a reload' : '';
      return ['done', `traffic ${shares.join(', ')} (${formatDuration(event.ms)}${how})`];
    }
    case 'deployment_ended':
      return ended(event.receipt);
    case 'draining': {
      const { requests, websockets, streams = 0 } = event;
      const held = [
        counted(requests, 'request'),
        counted(websockets, 'WebSocket'),
        ...(streams > 0 ? [counted(streams, 'stream')] : []),
      ];
      const from = clock(event.closingFrom);
      return ['plain', `draining ${event.release}: ${held.join(', ')}, closing from ${from}`];
    }
    case 'drain_notice':
      return event.error === null
        ? ['plain', `${event.slot} was told that it drains (${event.how})`]
        : ['attention', `${event.slot} could not be told that it drains: ${event.error}`];
    case 'contract': {
      const { release, owner, outcome, detail } = event;
      if (outcome === 'failed') return ['failed', `contract of ${release} failed: ${detail}`];
      const what = outcome === 'ok' ? 'is done' : `begun by ${owner}`;
      return ['attention', `contract of ${release} ${what}: no older release comes back`];
    }
    case 'cron': {
      const { job, outcome, dueAt, detail } = event;
      const due = `${job}, due ${dateTime(dueAt)}`;
      return outcome === 'ok'
        ? ['done', `job ${due}: well again`]
        : ['failed', `job ${due}: ${outcome}, ${detail}`];
    }
    case 'notified': {
      const { to, result, attempts, error } = event;
      if (error === null) return ['plain', `told by ${to}`];
      const then = result === 'failed' ? 'tried again' : `given up after ${attempts} tries`;
      return ['attention', `could not be told by ${to}, ${then}: ${error}`];
    }
    case 'release_stopped':
      return ['plain', `stopped ${event.release} (${formatDuration(event.ms)})`];
    case 'release_pruned':
      return ['plain', `pruned ${event.release}`];
    case 'instance_exited': {
      const again =
        event.restartInMs === null ? '' : `, again in ${formatDuration(event.restartInMs)}`;
      return ['failed', `${event.slot} of ${event.release} ended: ${event.reason}${again}`];
    }
    case 'recovered':
      return ['attention', `recovered: ${event.decision}, ${event.reason}`];
    case 'drift':
      return ['attention', `drift: ${event.what}${event.repaired ? ', repaired' : ''}`];
    case 'certificate_changed': {
      const { change, names, source, notAfter } = event;
      const until = change === 'removed' ? '' : `, until ${dateTime(notAfter)}`;
      return ['plain', `certificate for ${names.join(', ')} ${change}: ${source}${until}`];
    }
    case 'environment_changed': {
      const { owner, set, unset } = event;
      const what = [...set, ...unset.map((name) => `${name} (unset)`)].join(', ');
      return ['plain', `environment changed by ${owner}: ${what}`];
    }
    case 'exec_started':
      return ['plain', `${event.command} started in ${event.release} by ${event.owner}`];
    case 'exec_ended': {
      const how =
        event.code === null ? 'was ended: nobody listened any more' : `exit ${event.code}`;
      return ['plain', `${event.command} ended: ${how} (${formatDuration(event.ms)})`];
    }
    case 'configuration_reloaded':
      return reloaded(event);
    case 'drop': {
      const file = `${event.file} of ${event.owner}`;
      if (event.error === null) return ['plain', `drop folder: ${file} ${event.step}`];
      return ['failed', `drop folder: ${file} failed, ${event.error.code}: ${event.error.message}`];
    }
    case 'app_locked':
      return ['attention', `locked by ${event.owner}${why(event)}${ends(event)}`];
    case 'app_unlocked':
      return ['plain', `unlocked by ${event.owner}`];
    case 'maintenance_changed':
      return event.on
        ? ['attention', `maintenance on, by ${event.owner}${why(event)}${ends(event)}`]
        : ['done', `maintenance off, by ${event.owner}`];
  }
}

function why({ message }: { readonly message: string }): string {
  return message === '' ? '' : `: ${message}`;
}

function ends({ until }: { readonly until: number | null }): string {
  return until === null ? '' : `, until ${dateTime(until)}`;
}

function reloaded({
  changed,
  needsRestart,
  error,
}: Extract<ZddEvent, { type: 'configuration_reloaded' }>): Told {
  if (error !== null) return ['failed', `agent.yaml not taken over: ${error}`];
  const now = changed.length === 0 ? 'nothing new' : `now in force: ${changed.join(', ')}`;
  return needsRestart.length === 0
    ? ['plain', `agent.yaml read again, ${now}`]
    : ['attention', `agent.yaml read again, ${now}; needs a restart: ${needsRestart.join(', ')}`];
}

function judged(verdicts: readonly VerdictReport[]): Told {
  const has = (outcome: VerdictReport['outcome']): boolean =>
    verdicts.some((verdict) => verdict.outcome === outcome);
  const mark = has('fail') ? 'failed' : has('error') ? 'attention' : 'plain';
  return [mark, `judged: ${verdicts.map(({ says }) => says).join(' | ')}`];
}

function ended(receipt: Extract<ZddEvent, { type: 'deployment_ended' }>['receipt']): Told {
  const lost = `${count(receipt.lost)} of ${count(receipt.requests)} lost`;
  const what = `${receipt.outcome.replace('_', ' ')}${receipt.release ? ` ${receipt.release}` : ''}`;
  const why = receipt.error ? `, ${receipt.error.code}` : '';
  return [receipt.outcome === 'succeeded' ? 'done' : 'failed', `${what}${why}, ${lost}`];
}
