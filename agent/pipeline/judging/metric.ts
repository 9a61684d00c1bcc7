import { randomInt } from 'node:crypto';
import type { Generation } from '../../core/model.ts';
import { readJsonPath, valueAt } from '../../protocol/json-path.ts';
import { fillIn } from '../../protocol/smoke.ts';
import { ASKED_RELEASE, type Metric } from '../../protocol/triggers.ts';
import { environmentOf } from '../environment.ts';
import { configOf, type Host, type Task } from '../host.ts';

const ANSWER_MS = 10_000;
const MAX_BYTES = 1024 * 1024;
const RUN_MS = 30_000;

/** A number, or in words why there is none. No words hold an address. */
export type Measured = { readonly value: number } | { readonly error: string };

/**
 * Asks for a metric once.
 * @param candidate whose metric it is
 * @param about the release that is asked about, as the metric names it
 * @param at the moment it is asked for, ms; only Prometheus knows others than now
 */
export async function measure(
  host: Host,
  task: Task,
  candidate: Generation,
  metric: Metric,
  about: Generation,
  at: number,
): Promise<Measured> {
  const { app, signal } = task;
  const env = environmentOf(host, app, about, configOf(host, app, candidate));
  const named = (text: string): string => text.replaceAll(ASKED_RELEASE, about.release);
  if ('run' in metric) {
    const { release, deployment } = candidate;
    const { exit, timedOut, output } = await host.runner.runOnce(
      {
        name: `${app}.${release.split('-')[0]}-d${deployment}-metric-${randomInt(1e9, 1e10)}`,
        app,
        release,
        command: metric.run,
        cwd: host.layout.release(app, release),
        env,
        timeoutMs: RUN_MS,
      },
      signal,
    );
    if (timedOut || exit.code !== 0) return { error: 'its command failed' };
    return numberIn(output.findLast((line) => line.trim() !== ''));
  }
  const written = 'prometheus' in metric ? metric.prometheus : metric.json;
  const url = URL.parse(named(fillIn(written, (name) => env[name.slice(4)] ?? '')));
  if (url === null) return { error: 'its address is none' };
  if ('json' in metric) {
    const answer = await ask(url, signal);
    if ('error' in answer) return answer;
    return numberIn(valueAt(answer.json, readJsonPath(named(metric.path)) ?? []));
  }
  url.pathname = `${url.pathname.replace(/\/$/, '')}/api/v1/query`;
  url.searchParams.set('query', named(metric.query));
  url.searchParams.set('time', String(at / 1_000));
  const answer = await ask(url, signal);
  if ('error' in answer) return answer;
  const kind = valueAt(answer.json, ['data', 'resultType']);
  const result = ['data', 'result'];
  const all = valueAt(answer.json, result);
  if (kind === 'vector' && Array.isArray(all) && all.length > 1) {
    return { error: `its query has ${all.length} values: one is expected` };
  }
  return numberIn(
    valueAt(answer.json, [
      ...result,
      ...(kind === 'vector' ? [0] : []),
      ...(kind === 'vector' ? ['value'] : []),
      1,
    ]),
  );
}

async function ask(
  url: URL,
  signal: AbortSignal,
): Promise<{ readonly json: unknown } | { readonly error: string }> {
  const headers: Record<string, string> = { accept: 'application/json' };
  if (url.username !== '') {
    const user = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
    headers['authorization'] = `Basic ${Buffer.from(user).toString('base64')}`;
    url.username = '';
    url.password = '';
  }
  try {
    const bounded = AbortSignal.any([signal, AbortSignal.timeout(ANSWER_MS)]);
    const answer = await fetch(url, { headers, redirect: 'manual', signal: bounded });
    if (!answer.ok) {
      await answer.body?.cancel();
      return { error: `it was answered ${answer.status}` };
    }
    const text = await answer.text();
    return text.length > MAX_BYTES
      ? { error: 'its answer is too long' }
      : { json: JSON.parse(text) };
  } catch {
    signal.throwIfAborted();
    return { error: 'it cannot be asked for' };
  }
}

function numberIn(found: unknown): Measured {
  const value = typeof found === 'string' && found.trim() !== '' ? Number(found) : found;
  return typeof value === 'number' && Number.isFinite(value)
    ? { value }
    : { error: 'its answer is no number' };
}
