import { readFile } from 'node:fs/promises';
import { constants } from 'node:os';
import type { Retirement } from '../core/model.ts';
import { configOf, type Host, type HostSlot, type Task } from './host.ts';
import { ask } from './http-question.ts';

/** How long an app has to answer a POST, ms. Nothing waits for it. */
const ANSWER_MS = 5_000;

/**
 * Tells instances of a release that they drain, as its `drain.notice` wants it. Nothing waits for
 * it and nothing depends on it. It comes again when the agent is started again meanwhile.
 */
export function giveNotice(
  host: Host,
  task: Task,
  retirement: Retirement,
  slots: readonly HostSlot[],
): void {
  const { generation } = retirement;
  const { notice } = configOf(host, task.app, generation).drain;
  if (notice === undefined) return;
  for (const slot of slots) {
    const sent =
      'signal' in notice
        ? sendSignal(host, task, slot, notice.signal)
        : post(task, slot, notice.post, retirement);
    const how = 'signal' in notice ? notice.signal : `POST ${notice.post}`;
    const { app, deployment, tell } = task;
    const said = { app, deployment, release: generation.release, slot: slot.name, how };
    sent
      .catch((error: unknown) => (error instanceof Error ? error.message : String(error)))
      .then((error) => {
        if (!task.signal.aborted) tell({ type: 'drain_notice', ...said, error });
      });
  }
}

/** @returns why it could not be sent, null when it was */
async function sendSignal(
  host: Host,
  task: Task,
  { spec }: HostSlot,
  name: 'SIGUSR2',
): Promise<string | null> {
  const status = host.runner.status(spec.slot);
  if (status.state !== 'running') return 'it does not run';
  if (!(await catches(status.pid, name))) {
    return `its main process (pid ${status.pid}) does not handle ${name}, which would end it`;
  }
  return (await host.runner.signal(spec.slot, name, task.signal)) ? null : 'it does not run';
}

/** What a process does with a signal: `SigCgt` of proc_pid_status(5), one bit a signal. */
async function catches(pid: number, name: 'SIGUSR2'): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'latin1');
  const caught = /^SigCgt:\s*([0-9a-f]+)/m.exec(status)?.[1];
  const bit = 1n << BigInt(constants.signals[name] - 1);
  return caught !== undefined && (BigInt(`0x${caught}`) & bit) !== 0n;
}

async function post(
  task: Task,
  { spec, name }: HostSlot,
  path: string,
  { generation, closeFrom, requestsUntil, pacePerSecond }: Retirement,
): Promise<string | null> {
  const body = JSON.stringify({
    event: 'draining',
    app: task.app,
    release: generation.release,
    slot: name,
    websocketsUntil: new Date(closeFrom).toISOString(),
    requestsUntil: new Date(requestsUntil).toISOString(),
    closedPerSecond: pacePerSecond,
  });
  const answer = await ask({
    listen: spec.listen,
    method: 'POST',
    path,
    body,
    timeoutMs: ANSWER_MS,
    signal: task.signal,
  });
  if (answer.got === 'nothing') return answer.error;
  return answer.status < 300 ? null : `it answered ${answer.status}`;
}
