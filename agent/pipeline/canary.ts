import type { Effect } from '../core/effects.ts';
import type { AppEvent } from '../core/events.ts';
import type { CanaryStep } from '../core/strategy.ts';
import { analyse } from '../core/verdict/analysis.ts';
import { tell, type Verdict } from '../core/verdict/verdict.ts';
import { formatDuration } from '../protocol/duration.ts';
import type { Host, Task } from './host.ts';
import { Aside } from './judging/aside.ts';
import { askWebhook } from './judging/go-webhook.ts';
import { memoryOf } from './judging/memory.ts';
import { type Seen, Watch } from './judging/watch.ts';
import { shadowFor } from './shadow.ts';
import { smokeCanary } from './smoke.ts';
import { moveUsers } from './switch.ts';

export type CanaryEffect = Extract<Effect, { do: 'canary' }>;

/** How a step ends: it is done, or somebody has to look. */
type StepEnd =
  | { readonly end: 'done'; readonly summary: string | null }
  | { readonly end: 'paused'; readonly reason: string };

/**
 * One step of a canary. From the first user on the candidate to the last step it is watched, while
 * it pauses too.
 * @throws ZDD_GATE_FAILED, ZDD_SMOKE_FAILED
 */
export async function canary(
  host: Host,
  task: Task,
  effect: CanaryEffect,
): Promise<{ event: AppEvent; summary: string | null }> {
  const { deployment, index } = effect;
  const ended = await takeStep(host, task, effect);
  return ended.end === 'done'
    ? { event: { type: 'done', deployment, phase: 'canary', step: index }, summary: ended.summary }
    : {
        event: { type: 'paused', deployment, step: index, reason: ended.reason },
        summary: null,
      };
}

async function takeStep(host: Host, task: Task, effect: CanaryEffect): Promise<StepEnd> {
  const { step, candidate, percent, weighedAt, paused, deployment } = effect;
  if (step.do === 'weight' && !paused) {
    const said = await moveUsers(host, task);
    return done(step.continues === true ? null : said);
  }
  const watch = new Watch(host, task, { candidate, phase: 'canary', since: weighedAt, percent });
  const aside = new Aside(task);
  try {
    const goal = paused ? async () => null : goalOf(host, aside, effect, step, watch);
    const memory = memoryOf(host, task.app, deployment);
    for (;;) {
      const seen = await watch.look();
      const { objection } = memory;
      if (objection !== null && !paused) {
        memory.objection = null;
        return { end: 'paused', reason: objection };
      }
      const ended = await goal(seen);
      if (ended !== null) return ended;
      await watch.rest();
    }
  } finally {
    await aside.end();
    watch.close();
  }
}

/** What is asked after each look: whether the step has come to its end. */
type Goal = (seen: Seen) => Promise<StepEnd | null>;

function goalOf(
  host: Host,
  aside: Aside,
  { candidate, since }: CanaryEffect,
  step: CanaryStep,
  watch: Watch,
): Goal {
  switch (step.do) {
    case 'weight':
    case 'hold': {
      const until = step.do === 'hold' ? since + step.ms : since;
      const quiet = step.do === 'hold' && step.continues === true;
      return async (seen) => (seen.now < until ? null : held(watch, seen, quiet));
    }
    case 'analyse':
      return async (seen) => {
        if (!watch.takesTraffic) return done('takes no traffic');
        const { evidence, verdicts } = seen;
        const analysis = analyse(evidence, watch.limits, verdicts, watch.isSettled);
        switch (analysis.says) {
          case 'wait':
            return seen.now < since + step.withinMs ? null : undecided(watch, seen);
          case 'pause':
            return stay(watch, analysis.why, analysis.verdicts);
          case 'proceed':
            watch.report(analysis.verdicts);
            return done(watch.summary(evidence));
        }
      };
    case 'smoke':
      return aside.begin(async (task) =>
        done(`smoke: ${await smokeCanary(host, task, candidate)}`),
      );
    case 'shadow': {
      const wish = { share: step.share, forMs: step.ms, phase: 'canary' } as const;
      return aside.begin(async (task) => shadowed(await shadowFor(host, task, candidate, wish)));
    }
    case 'approval':
      return async () => ({ end: 'paused', reason: 'gate: manual; zdd-agent promote goes on' });
    case 'webhook': {
      const question = askWebhook(step.url, aside.task, host.now);
      return async (seen) => {
        const answer = question.look();
        if (answer.go) return done(`${new URL(step.url).host} says go`);
        if (seen.now < since + step.withinMs) return null;
        const waited = formatDuration(step.withinMs);
        return {
          end: 'paused',
          reason: `${new URL(step.url).host} did not say go within ${waited}: ${answer.says}`,
        };
      };
    }
  }
}

/** Too little to copy is for a person, unless `gates.on` says otherwise. */
function shadowed({ verdict, summary }: Awaited<ReturnType<typeof shadowFor>>): StepEnd {
  if (verdict?.action === 'pause') return { end: 'paused', reason: tell(verdict) };
  return done(`shadow: ${summary}`);
}

function done(summary: string | null): StepEnd {
  return { end: 'done', summary };
}

/** The end of a stretch: what is held, or slower than before, is for a person. */
function held(watch: Watch, seen: Seen, quiet: boolean): StepEnd {
  if (seen.held !== null) return stay(watch, seen.held, seen.verdicts);
  const relative = quiet ? [] : watch.relative(seen);
  const slower = relative.find(({ outcome }) => outcome === 'fail');
  const all = [...seen.verdicts, ...relative];
  if (slower !== undefined) return stay(watch, slower, all);
  if (!quiet) watch.report(all);
  return done(quiet ? null : watch.summary(seen.evidence));
}

/** An analysis whose time is over: done about as `gates.on.inconclusive` says. */
function undecided(watch: Watch, seen: Seen): StepEnd {
  const verdict = seen.verdicts.find(({ gate }) => gate === 'sequential');
  if (verdict === undefined) return done('nothing to analyse');
  switch (watch.limits.actions.inconclusive) {
    case 'proceed':
      watch.report(seen.verdicts);
      return done(`not decided: ${watch.summary(seen.evidence)}`);
    case 'pause':
      return stay(watch, verdict, seen.verdicts);
    case 'rollback':
      throw watch.refusal(verdict, seen.verdicts, seen.evidence);
  }
}

function stay(watch: Watch, why: Verdict, verdicts: readonly Verdict[]): StepEnd {
  watch.report(verdicts);
  return { end: 'paused', reason: tell(why) };
}
