import type { Receipt, ZddEvent } from '../../agent/protocol/events.ts';
import type { PhaseName } from '../../agent/protocol/phase.ts';
import { counted, shortRelease } from '../render/amounts.ts';
import type { Progress } from '../render/progress.ts';
import { VERBS } from '../render/verbs.ts';

/** Shows the events of one deployment as the lines of its phases. */
export interface Story {
  show(event: ZddEvent): void;
  /** Steps whose events did not come because the receipt was there first. */
  complete(receipt: Receipt): void;
}

function aboutWhat(started: Extract<ZddEvent, { type: 'deployment_started' }>): string {
  const { kind, previous, stopped } = started;
  switch (kind) {
    case 'deploy':
    case 'rollback':
      if (previous !== null) return ` over ${previous}`;
      return stopped === undefined ? ', the first of this app' : `, ${stopped} is stopped`;
    case 'restart':
    case 'scale':
    case 'stop':
      return ` of ${previous ?? 'nothing'}`;
    case 'start':
      return ` of ${stopped ?? 'nothing'}`;
  }
}

export function tellStory(progress: Progress, skip: ReadonlySet<PhaseName>): Story {
  let open: { phase: PhaseName; since: number; says: string } | null = null;
  /** Beside what the running step says: where traffic is, and what old releases still hold. */
  let traffic = '';
  const held = new Map<string, string>();
  const told: Record<string, number> = {};

  function step({ phase: of, ms, summary }: Receipt['steps'][number]): void {
    told[of] = (told[of] ?? 0) + 1;
    if (skip.has(of)) return;
    progress.done(VERBS[of], summary, ms, of === 'reverting' ? 'attention' : 'done');
  }

  /** A phase left without its step is the one that did not work out: the error will say why. */
  function leave(at: number, to: PhaseName | null): void {
    // Somebody had seen enough of the canary.
    const enough = open?.phase === 'canary' && to === 'switching';
    const mark = enough ? 'attention' : 'failed';
    if (open) progress.done(VERBS[open.phase], open.says, at - open.since, mark);
    open = null;
  }

  function update(): void {
    if (open === null) return;
    const parts = [open.says === UNSAID ? '' : open.says, traffic, ...held.values()];
    progress.update(parts.filter((part) => part !== '').join('   '));
  }

  return {
    show(event) {
      switch (event.type) {
        case 'deployment_started': {
          progress.done(event.kind, `#${event.deployment}${aboutWhat(event)}`, null);
          break;
        }
        case 'phase_changed':
          leave(event.at, event.to);
          open = { phase: event.to, since: event.at, says: UNSAID };
          if (!skip.has(event.to)) progress.begin(VERBS[event.to]);
          break;
        case 'step_done': {
          // Smoke checks through HAProxy end while the new release is being watched.
          const goesOn = open !== null && open.phase !== event.step.phase ? open.phase : null;
          if (goesOn === null) open = null;
          step(event.step);
          if (goesOn !== null && !skip.has(goesOn)) progress.begin(VERBS[goesOn]);
          break;
        }
        case 'progress':
          // The next step of a phase of many.
          if (open === null && ['canary', 'rolling', 'returning'].includes(event.phase)) {
            open = { phase: event.phase, since: event.at, says: UNSAID };
            progress.begin(VERBS[event.phase]);
          }
          if (open?.phase !== event.phase) break;
          open.says = event.message;
          update();
          break;
        case 'paused':
          progress.line(`  ! paused: ${event.reason}`);
          break;
        case 'resumed':
          progress.line('  goes on');
          break;
        case 'instance_exited':
          progress.line(`  ! ${event.slot} ended: ${event.reason}`);
          break;
        case 'recovered':
          progress.done('recover', `${event.decision}: ${event.reason}`, null, 'attention');
          break;
        case 'traffic_moved':
          traffic = sharesText(event.shares);
          update();
          break;
        case 'draining':
          held.set(event.release, heldText(event));
          update();
          break;
        case 'release_stopped':
          held.delete(event.release);
          update();
          break;
        case 'judged':
        case 'release_created':
        case 'release_pruned':
        case 'drift':
          // The summaries of the steps say it already.
          break;
        case 'deployment_ended':
          this.complete(event.receipt);
          leave(event.at, null);
          progress.clear();
          break;
      }
    },
    complete(receipt) {
      const counted: Record<string, number> = {};
      for (const each of receipt.steps) {
        counted[each.phase] = (counted[each.phase] ?? 0) + 1;
        if ((counted[each.phase] ?? 0) > (told[each.phase] ?? 0)) step(each);
      }
    },
  };
}

/** What a step that ended without a word has for its summary. */
const UNSAID = 'did not finish';

/** `r42 100 %, r41 0 %` */
function sharesText(shares: Readonly<Record<string, number>>): string {
  return Object.entries(shares)
    .map(([release, share]) => `${shortRelease(release)} ${share} %`)
    .join(', ');
}

/** `r41: 2 requests, 212 WebSockets left`; nothing once nobody holds it. */
function heldText(event: Extract<ZddEvent, { type: 'draining' }>): string {
  const { release, requests, websockets } = event;
  if (requests + websockets === 0) return '';
  return `${shortRelease(release)}: ${counted(requests, 'request')}, ${counted(websockets, 'WebSocket')} left`;
}
