import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import { ReleaseTotal } from '../../agent/haproxy/access-log/totals.ts';
import { Exposition } from '../../agent/observe/exposition.ts';
import { metricsText } from '../../agent/observe/metrics.ts';
import type { AppSnapshot, Snapshot } from '../../agent/observe/snapshot.ts';
import type { GenerationStatus } from '../../agent/protocol/api.ts';
import { AT, app, R41, R42, receipt } from '../cli/samples.ts';

const ALERTS = fileURLToPath(new URL('../../templates/prometheus/alerts.yml', import.meta.url));

/** @throws when Prometheus cannot read it. @returns what its linter says */
function promtool(text: string): string {
  return execFileSync('promtool', ['check', 'metrics'], { input: text, encoding: 'utf8' });
}

function generation(changes: Partial<GenerationStatus>): GenerationStatus {
  const [first] = app().generations;
  if (first === undefined) throw new Error('the sample has no generation');
  return { ...first, ...changes };
}

function snapshot(changes: Partial<Snapshot> = {}, ofApp: Partial<AppSnapshot> = {}): Snapshot {
  const total = new ReleaseTotal();
  for (const waitMs of [3, 5, 80, 20_000]) total.count('answered', waitMs, AT, 2);
  total.count('failed', 0, AT, 1);
  return {
    agent: { version: '0.1.0', startedAt: AT, residentBytes: 1, cpuSeconds: 0.5 },
    haproxy: {
      version: '2.6.12',
      pid: 1,
      oldWorkers: 1,
      reloads: 4,
      switchBy: 'runtime',
      maxOldWorkers: 8,
    },
    apps: [
      {
        status: app(),
        outcomes: { succeeded: 56, failed: 1, aborted: 0, rolled_back: 0 },
        lost: 0,
        last: receipt(),
        totals: new Map([
          [R42, total],
          [R41, new ReleaseTotal()],
        ]),
        logLines: { came: 9, lost: 0 },
        held: 0,
        waiting: 0,
        ...ofApp,
      },
    ],
    findings: [{ level: 'warning', code: 'ZDD_DRIFT', what: 'x', tries: [] }],
    drift: { repaired: 1, left: 0 },
    certificates: [{ name: '*.example.com', origin: 'acme', notAfter: AT + 500 }],
    disk: { freeBytes: 10, reserveBytes: 5 },
    ...changes,
  };
}

test('Prometheus reads all of it, and its linter has nothing to say', () => {
  const text = metricsText(snapshot());
  expect(promtool(text)).toBe('');
  expect(text).toContain(`zdd_stable_release_info{app="shop",release="${R42}"} 1\n`);
  expect(text).toContain('zdd_certificate_not_after_timestamp_seconds{name="*.example.com"');
});

test('a histogram is cumulative, and a line that stands for several counts for them', () => {
  const text = metricsText(snapshot());
  const of = (le: string) =>
    `zdd_response_wait_seconds_bucket{app="shop",release="${R42}",le="${le}"}`;
  expect(text).toContain(`${of('0.005')} 4\n`);
  expect(text).toContain(`${of('0.05')} 4\n`);
  expect(text).toContain(`${of('0.1')} 6\n`);
  expect(text).toContain(`${of('10')} 6\n`);
  expect(text).toContain(`${of('+Inf')} 8\n`);
  expect(text).toContain(`zdd_response_wait_seconds_sum{app="shop",release="${R42}"} 40.176\n`);
});

test('without an answer of HAProxy what only it knows is left out, and the rest is there', () => {
  const text = metricsText(snapshot({ haproxy: null, disk: null }));
  expect(promtool(text)).toBe('');
  expect(text).toContain('zdd_haproxy_up 0\n');
  expect(text).not.toContain('zdd_haproxy_reloads_total');
  expect(text).not.toContain('null');
});

test('a release that runs twice, as in a restart, is told once', () => {
  const generations = [
    generation({ role: 'stable', traffic: 100 }),
    generation({ role: 'candidate', traffic: 0, deployment: 58 }),
    generation({ role: 'warm', traffic: 0, deployment: 56, warmUntil: AT + 1_000 }),
    generation({ role: 'warm', traffic: 0, deployment: 55, warmUntil: AT + 2_000 }),
  ];
  const text = metricsText(snapshot({}, { status: app({ generations }) }));
  const samples = text.split('\n').filter((line) => line !== '' && !line.startsWith('#'));
  const names = samples.map((line) => line.slice(0, line.lastIndexOf(' ')));
  expect(new Set(names).size).toBe(names.length);
  expect(text).toContain(`role="warm"} 2\n`);
  expect(text).toContain(`zdd_release_traffic_ratio{app="shop",release="${R42}"} 1\n`);
  const until = `zdd_release_warm_until_timestamp_seconds{app="shop",release="${R42}"}`;
  expect(text).toContain(`${until} ${(AT + 2_000) / 1_000}\n`);
});

test('any text may be the value of a label', () => {
  const text = fc.string({ unit: fc.constantFrom('"', '\\', '\n', 'n', 'é', '{', '}', ',', '=') });
  fc.assert(
    fc.property(fc.array(text, { minLength: 1, maxLength: 50 }), (texts) => {
      const exposition = new Exposition();
      const add = exposition.metric('gauge', 'zdd_text_info', 'Any text.');
      for (const text of texts) add({ text }, 1);
      expect(promtool(exposition.toString())).toBe('');
    }),
    { numRuns: 5 },
  );
});

test('the alert rules are what Prometheus takes', () => {
  const out = execFileSync('promtool', ['check', 'rules', ALERTS], { encoding: 'utf8' });
  expect(out).toContain('SUCCESS');
});
