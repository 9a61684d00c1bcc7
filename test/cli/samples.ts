import type { AppStatus } from '../../agent/protocol/api.ts';
import type { ErrorBody } from '../../agent/protocol/errors.ts';
import type { NewEvent, Receipt, ZddEvent } from '../../agent/protocol/events.ts';
import type { PhaseName } from '../../agent/protocol/phase.ts';

/** 2026-11-23 18:29:58 UTC */
export const AT = Date.UTC(2026, 10, 23, 18, 29, 58);
export const R42 = 'r42-ab12cd3';
export const R41 = 'r41-0c1d2e3';

const STEPS: readonly (readonly [PhaseName, number, string])[] = [
  ['receiving', 31, '12.0 kB'],
  ['unpacking', 204, `${R42}: 12 files`],
  ['releasing', 1_100, 'npm run migrate'],
  ['starting', 930, 'web ×2, worker ×1'],
  ['probing', 604, 'web.1 200 in 12 ms, web.2 200 in 11 ms'],
  ['smoking', 310, '5 of 5 passed'],
  ['admitting', 12, 'HAProxy reaches web.1, web.2'],
  ['switching', 7, `all new requests on ${R42}`],
  ['baking', 120_000, '2m00s: 1,931 requests, 0.00 % errors'],
  ['promoting', 40, `${R42} is stable`],
];

export function receipt(changes: Partial<Receipt> = {}): Receipt {
  return {
    schemaVersion: 1,
    app: 'shop',
    deployment: 57,
    kind: 'deploy',
    release: R42,
    previous: R41,
    outcome: 'succeeded',
    startedAt: AT,
    totalMs: 123_238,
    switchMs: 7,
    requests: 2_140,
    lost: 0,
    appErrors: 0,
    steps: STEPS.map(([phase, ms, summary]) => ({ phase, ms, summary })),
    error: null,
    ...changes,
  };
}

/** A deployment that failed in `phase`: the steps before it stand, the error says why. */
export function failedReceipt(phase: PhaseName, error: ErrorBody, changes: Partial<Receipt> = {}) {
  const { steps } = receipt();
  return receipt({
    outcome: 'failed',
    steps: steps.slice(
      0,
      steps.findIndex((step) => step.phase === phase),
    ),
    switchMs: null,
    error,
    ...changes,
  });
}

/** The events of a deployment that leads to this receipt, numbered from `first`. */
export function storyOf(end: Receipt, first = 101): ZddEvent[] {
  const { app, deployment } = end;
  const news: NewEvent[] = [
    {
      type: 'deployment_started',
      app,
      deployment,
      kind: end.kind,
      previous: end.previous,
      owner: 'deploy@laptop',
      source: './ (git 9f3c1e2, clean)',
    },
  ];
  let from: PhaseName | null = null;
  for (const step of end.steps) {
    news.push({ type: 'phase_changed', app, deployment, from, to: step.phase });
    news.push({ type: 'step_done', app, deployment, step });
    from = step.phase;
  }
  const failing = STEPS[end.steps.length]?.[0];
  if (end.outcome !== 'succeeded' && failing) {
    news.push({ type: 'phase_changed', app, deployment, from, to: failing });
  }
  news.push({ type: 'deployment_ended', app, deployment, receipt: end });
  return stamp(news, first);
}

export function stamp(news: readonly NewEvent[], first = 101): ZddEvent[] {
  return news.map((each, index) => ({ ...each, seq: first + index, at: AT + index * 1_000 }));
}

export function app(changes: Partial<AppStatus> = {}): AppStatus {
  return {
    app: 'shop',
    live: R42,
    since: AT,
    routes: ['shop.example.com'],
    deployment: null,
    generations: [
      {
        release: R42,
        deployment: 57,
        role: 'stable',
        traffic: 100,
        warmUntil: null,
        requests: 3,
        websockets: 212,
        instances: [instance('web', 1), instance('web', 2), instance('worker', 1)],
      },
    ],
    ...changes,
  };
}

export function instance(process: string, number: number) {
  return {
    slot: `r42-d57-${process}-${number}`,
    process,
    state: 'running' as const,
    pid: 100 + number,
    restarts: 0,
    address: null,
  };
}

export const ZDD_YAML = `app: shop
routes: [shop.example.com]
processes:
  web:
    run: node server.js
    instances: 2
    health: /healthz
  worker:
    run: node worker.js
    overlap: false
release: npm run migrate
`;

/** What a release fails with that does not become healthy. */
export const PROBE_TIMEOUT: ErrorBody = {
  code: 'ZDD_PROBE_TIMEOUT',
  message: 'the new release never became healthy',
  evidence: [
    ['last answer', '503 from GET /healthz in 4 ms: {"db":"connect ECONNREFUSED"}'],
    [
      'last output',
      '18:32:07 Error: connect ECONNREFUSED 127.0.0.1:5432\n18:32:07     at TCPConnectWrap.afterConnect (node:net:1611)',
    ],
  ],
  traffic: `untouched: 100 % on ${R41}, 0 requests lost`,
  tries: ['zdd-agent logs --release r42 --since 2m', 'zdd-agent push --probe-timeout 90s'],
};

/** The shop while somebody else deploys it. */
export function busy() {
  return app({
    deployment: {
      id: 56,
      phase: 'baking',
      owner: 'deploy@laptop',
      startedAt: Date.now() - 40_000,
      release: R41,
    },
  });
}

/** Seconds away from a rounding edge, so that a slow machine prints the same. */
export function ago(ms: number): number {
  return Date.now() - ms - 5_000;
}

/** What an agent says of its host. */
export function statusReplyOf(apps: ReturnType<typeof app>[], attention: unknown[] = []) {
  return { schemaVersion: 1, agent: '0.1.0', apps, attention };
}
