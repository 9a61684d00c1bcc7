import type { Generation } from '../core/model.ts';
import { startsBeforeTraffic } from '../core/plan.ts';
import { commandOf } from '../core/request.ts';
import { formatDuration } from '../protocol/duration.ts';
import { ZddError } from '../protocol/errors.ts';
import type { Health } from '../protocol/process-type.ts';
import type { Exit } from '../runner/runner.ts';
import { configOf, type Host, type HostSlot, type Task } from './host.ts';
import { type Answer, ask } from './http-question.ts';
import { pause } from './pause.ts';

const DEFAULT_HEALTH: Health = {
  path: '/',
  status: 200,
  timeout: 2_000,
  interval: 250,
  within: 30_000,
  successes: 2,
  json: {},
};

/** The result of one probe: healthy, or why not in words. */
export type ProbeResult =
  | { readonly healthy: true; readonly says: string }
  | { readonly healthy: false; readonly says: string };

/**
 * Waits until every instance of the candidate is healthy by its own socket. An instance that ends
 * meanwhile fails the candidate at once.
 * @param withinMs overrides `health.within`.
 */
export async function probe(
  host: Host,
  task: Task,
  candidate: Generation,
  withinMs: number,
): Promise<string> {
  const fresh = candidate.deployment === task.deployment;
  const slots = host.slots
    .of(task.app, candidate)
    .filter((slot) => slot.takesTraffic || (fresh && startsBeforeTraffic(slot)));
  return await probeSlots(host, task, slots, withinMs);
}

/** The same for some of a release's instances. */
export async function probeSlots(
  host: Host,
  task: Task,
  slots: readonly HostSlot[],
  withinMs: number,
): Promise<string> {
  const siblings = new AbortController();
  const signal = AbortSignal.any([task.signal, siblings.signal]);
  try {
    const said = await Promise.all(
      slots.map((slot) => becomesHealthy(host, { ...task, signal }, slot, withinMs)),
    );
    return said.join('   ');
  } finally {
    siblings.abort();
  }
}

/** Waits for one instance. Processes that do not listen are healthy once they stayed alive. */
async function becomesHealthy(
  host: Host,
  task: Task,
  slot: HostSlot,
  withinMs: number,
): Promise<string> {
  return slot.spec.listen.kind === 'none'
    ? await staysAlive(host, slot, task.signal)
    : await answersWell(host, task, slot, withinMs);
}

/** Waits until a process has run for its `alive` time. @throws ZDD_INSTANCE_CRASHED */
export async function staysAlive(host: Host, slot: HostSlot, signal: AbortSignal): Promise<string> {
  const { app, generation, process } = slot;
  const aliveMs = configOf(host, app, generation).processes[process]?.alive ?? 0;
  const until = performance.now() + aliveMs;
  const restarts = restartsOf(host, slot);
  for (;;) {
    await assertRunning(host, slot, restarts);
    const leftMs = until - performance.now();
    if (leftMs <= 0) return `${shortName(slot)} alive for ${formatDuration(aliveMs)}`;
    await pause(Math.min(leftMs, 100), signal);
  }
}

async function answersWell(
  host: Host,
  task: Task,
  slot: HostSlot,
  withinMs: number,
): Promise<string> {
  const health = healthOf(host, slot);
  const started = performance.now();
  const restarts = slot.generation.deployment === task.deployment ? 0 : restartsOf(host, slot);
  let tries = 0;
  let inARow = 0;
  let last: ProbeResult = { healthy: false, says: 'no probe was answered' };
  while (performance.now() - started < withinMs) {
    await assertRunning(host, slot, restarts);
    tries += 1;
    last = await probeOnce(slot, health, task.signal);
    inARow = last.healthy ? inARow + 1 : 0;
    if (inARow >= health.successes) return `${shortName(slot)} ${last.says}`;
    if (tries === 8) tellStillWaiting(task, slot, last);
    // An app that listens already answers the next probe at once; one that starts gets a pause.
    await pause(last.healthy ? 10 : Math.min(health.interval, 50 * tries), task.signal);
  }
  throw new ZddError(
    'ZDD_PROBE_TIMEOUT',
    `${shortName(slot)} not ready after ${formatDuration(withinMs)} (${tries} tries)`,
    {
      evidence: [['last answer', last.says], ...(await lastOutput(host, slot))],
      tries: [
        `zdd-agent logs --release ${slot.generation.release}`,
        `zdd-agent ${commandAgain(host, slot)} --probe-timeout ${Math.ceil((withinMs * 3) / 1_000)}s        if it only needs longer`,
      ],
    },
  );
}

/** A rollback takes no times of its own; a push of the same content does. */
function commandAgain(host: Host, { app }: HostSlot): string {
  const { deployment } = host.journal.state(app);
  return deployment === null || deployment.kind === 'rollback' ? 'push' : commandOf(deployment);
}

function tellStillWaiting(task: Task, slot: HostSlot, last: ProbeResult): void {
  task.tell({
    type: 'progress',
    app: task.app,
    deployment: task.deployment,
    phase: 'probing',
    message: `${shortName(slot)} ${last.says}`,
  });
}

/** One probe on a fresh connection to the instance's own socket. */
export async function probeOnce(
  slot: HostSlot,
  health: Health,
  signal: AbortSignal,
): Promise<ProbeResult> {
  const answer = await ask({
    listen: slot.spec.listen,
    method: 'GET',
    path: health.path,
    timeoutMs: health.timeout,
    signal,
  });
  return judgeAnswer(answer, health, slot.generation.release);
}

/**
 * Waits until one of these answers its health check; whether it crashes meanwhile does not matter.
 * @returns false when none has within `withinMs`
 */
export async function someAnswers(
  host: Host,
  slots: readonly HostSlot[],
  withinMs: number,
  signal: AbortSignal,
): Promise<boolean> {
  const until = performance.now() + withinMs;
  for (;;) {
    const results = await Promise.all(
      slots.map((slot) => probeOnce(slot, healthOf(host, slot), signal)),
    );
    if (results.some(({ healthy }) => healthy)) return true;
    if (performance.now() >= until) return false;
    await pause(100, signal);
  }
}

/** How the instances of this slot are probed. */
export function healthOf(host: Host, slot: HostSlot): Health {
  const type = configOf(host, slot.app, slot.generation).processes[slot.process];
  return type?.health ?? DEFAULT_HEALTH;
}

function judgeAnswer(answer: Answer, health: Health, release: string): ProbeResult {
  if (answer.got === 'nothing') {
    return { healthy: false, says: `${answer.error} from GET ${health.path}` };
  }
  const said = `${answer.status} in ${Math.max(1, Math.round(answer.ms))} ms`;
  const bad = (why: string): ProbeResult => ({
    healthy: false,
    says: `${answer.status} from GET ${health.path} in ${Math.round(answer.ms)} ms${why}`,
  });
  if (answer.status !== health.status) return bad(`: ${firstLine(answer.body)}`);
  // An answer by some other process proves nothing about this one.
  if (answer.release !== undefined && answer.release !== release) {
    return bad(`: it comes from release ${answer.release}, not ${release}`);
  }
  const missing = mismatch(answer.body, health.json, release);
  return missing === null ? { healthy: true, says: said } : bad(`: ${missing}`);
}

function mismatch(body: string, wanted: Health['json'], release: string): string | null {
  if (Object.keys(wanted).length === 0) return null;
  let parsed: unknown;
  try {
    parsed = JSON.parse(body);
  } catch {
    return `not JSON: ${firstLine(body)}`;
  }
  for (const [key, raw] of Object.entries(wanted)) {
    const value = raw === '$ZDD_RELEASE' ? release : raw;
    const found: unknown =
      typeof parsed === 'object' && parsed !== null ? Reflect.get(parsed, key) : undefined;
    if (found !== value) {
      return `${key} is ${JSON.stringify(found)}, expected ${JSON.stringify(value)}`;
    }
  }
  return null;
}

function firstLine(body: string): string {
  return (body.trim().split('\n')[0] ?? '').slice(0, 200);
}

function restartsOf(host: Host, slot: HostSlot): number {
  const status = host.runner.status(slot.spec.slot);
  return status.state === 'stopped' ? 0 : status.restarts;
}

/**
 * @param restarts how often it had been restarted when the watch began.
 * @throws ZDD_INSTANCE_CRASHED or ZDD_START_COMMAND_NOT_FOUND when it has ended by itself since.
 */
async function assertRunning(host: Host, slot: HostSlot, restarts: number): Promise<void> {
  const status = host.runner.status(slot.spec.slot);
  if (status.state === 'running' && status.restarts <= restarts) return;
  const exit = status.state === 'backing_off' ? status.lastExit : null;
  if (exit?.code === 126 || exit?.code === 127) {
    throw new ZddError(
      'ZDD_START_COMMAND_NOT_FOUND',
      `${shortName(slot)}: the run command does not exist`,
      {
        evidence: [['command', commandText(slot)], ...(await lastOutput(host, slot))],
        tries: [`mend processes.${slot.process}.run in zdd.yaml, then: zdd-agent push`],
      },
    );
  }
  throw new ZddError('ZDD_INSTANCE_CRASHED', `${shortName(slot)} ${describeExit(exit)}`, {
    evidence: await lastOutput(host, slot),
    tries: [`zdd-agent logs --release ${slot.generation.release}`],
  });
}

/** `exited with 1`, `was ended by SIGKILL`, `ended by itself` */
export function describeExit(exit: Exit | null): string {
  if (exit?.outOfMemory === true) return 'was killed because it ran out of memory';
  if (exit === null || (exit.code === null && exit.signal === null)) return 'ended by itself';
  return exit.code === null ? `was ended by ${exit.signal}` : `exited with ${exit.code}`;
}

async function lastOutput(host: Host, slot: HostSlot): Promise<Array<[string, string]>> {
  const lines = await host.runner.output(
    { app: slot.app, release: slot.generation.release, process: slot.process },
    20,
  );
  if (lines.length === 0) return [];
  return [['last output', lines.map(({ text }) => text).join('\n')]];
}

function commandText({ spec: { command } }: HostSlot): string {
  return typeof command === 'string' ? command : command.join(' ');
}

/** `web.1` */
export function shortName(slot: HostSlot): string {
  return `${slot.process}.${slot.index}`;
}
