import { formatDuration } from '../../protocol/duration.ts';
import type { Outcome, Receipt } from '../../protocol/events.ts';
import type { VerdictReport } from '../../protocol/verdict.ts';
import type { Subject } from '../../store/outbox.ts';
import type { Pause } from './pause.ts';

/** What is said of a deployment, whoever is told. Made of its receipt, or of why it waits. */
export interface Content {
  /** Names the deployment on all hosts alike: `shop#57`. A message that comes twice has it twice. */
  readonly id: string;
  readonly host: string;
  /** `shop #57 r42-ab12cd3 rolled back on web1, deploy by dana@laptop` */
  readonly summary: string;
  /** As Slack and others show it. */
  readonly mark: string;
  /** A line each: code and message, the deciding verdict, evidence, traffic, what to type. */
  readonly lines: readonly string[];
  /** More lines, for a ticket: they may hold what users or the app have said. */
  readonly details: readonly string[];
  /** The verdict that decided, or the first that is not a pass. */
  readonly verdict: VerdictReport | null;
  /** What it has left behind; null while it waits. */
  readonly receipt: Receipt | null;
  readonly pause: Pause | null;
  readonly app: string;
  readonly deployment: number;
  /** The release that it is about, and the one before. */
  readonly releases: readonly string[];
}

/** Evidence that is about traffic. The rest may hold what users or the app have said. */
const SHARED_EVIDENCE: ReadonlySet<string> = new Set(['failures', 'before', 'request']);

const SAID: Readonly<Record<Outcome, string>> = {
  succeeded: 'is live',
  failed: 'failed',
  aborted: 'was aborted',
  rolled_back: 'was rolled back',
};
const MARKS: Readonly<Record<Outcome, string>> = {
  succeeded: ':white_check_mark:',
  failed: ':x:',
  aborted: ':no_entry_sign:',
  rolled_back: ':rewind:',
};

export function contentOf(receipt: Receipt, host: string): Content {
  const { app, deployment, kind, release, previous, outcome, owner, error } = receipt;
  const { source = '', startedAt } = receipt;
  const subject = release === null ? '' : ` ${release}`;
  const stopped = kind === 'stop' && outcome === 'succeeded';
  const by = owner === undefined ? '' : ` by ${owner}`;
  const verdict = decisive(receipt.verdicts ?? []);
  const lines = [
    ...(error === null ? [] : [`${error.code}: ${error.message}`]),
    ...(verdict === null ? [] : [`${verdict.gate}: ${verdict.says}`, windowText(verdict)]),
    ...(error?.evidence ?? [])
      .filter(([label]) => SHARED_EVIDENCE.has(label))
      .map(([label, text]) => `${label}: ${text}`),
    ...(error?.traffic === undefined ? [] : [`traffic: ${error.traffic}`]),
    countsText(receipt),
    `zdd-agent why ${deployment} --app ${app}`,
  ];
  return {
    id: `${app}#${deployment}`,
    host,
    summary: `${app} #${deployment}${subject} ${stopped ? 'was stopped' : SAID[outcome]} on ${host}, ${kind}${by}`,
    mark: MARKS[outcome],
    lines,
    details: [
      ...beganText(startedAt, source),
      ...(error?.evidence ?? []).map(([label, text]) => `${label}:\n${text}`),
    ],
    verdict,
    receipt,
    pause: null,
    app,
    deployment,
    releases: [release, previous].filter((name) => name !== null),
  };
}

/** What is said of a deployment that waits for somebody, and what to type next. */
export function pauseContent({ app, deployment }: Subject, pause: Pause, host: string): Content {
  const { phase, reason, release, previous, percent, kind, owner, verdicts } = pause;
  const verdict = verdicts.find(({ says }) => says === reason) ?? decisive(verdicts);
  const rest = previous === null ? '' : `, ${round(100 - percent)} % on ${previous}`;
  const canary = phase === 'canary';
  const waits = canary ? 'is paused and waits for you' : 'is held and needs a look';
  return {
    id: `${app}#${deployment}`,
    host,
    summary: `${app} #${deployment} ${release} ${waits} on ${host}, ${kind} by ${owner}`,
    mark: ':raised_hand:',
    lines: [
      ...(verdict?.says === reason ? [] : [reason]),
      ...(verdict === null ? [] : [`${verdict.gate}: ${verdict.says}`, windowText(verdict)]),
      `traffic: ${round(percent)} % on ${release}${rest}`,
      `${canary ? 'go on' : 'keep it'}: zdd-agent promote --app ${app}`,
      `take it back: zdd-agent ${canary ? 'abort' : 'rollback'} --app ${app}`,
    ],
    details: beganText(pause.startedAt, pause.source),
    verdict,
    receipt: null,
    pause,
    app,
    deployment,
    releases: [release, previous].filter((name) => name !== null),
  };
}

function beganText(startedAt: number, source: string): string[] {
  const began = `started: ${new Date(startedAt).toISOString()}`;
  return source === '' ? [began] : [began, `from: ${source}`];
}

function round(percent: number): number {
  return Math.round(percent * 100) / 100;
}

/** The JSON of a `webhook`, and of `$ZDD_NOTIFICATION`. Additive only. */
export function asJson(content: Content): string {
  const { id, host, summary, lines, verdict, receipt, pause } = content;
  return JSON.stringify({
    schemaVersion: 1,
    event: pause === null ? 'deployment_ended' : 'deployment_paused',
    id,
    host,
    summary,
    text: lines.join('\n'),
    verdict,
    ...(pause === null ? { receipt } : { pause }),
  });
}

/** What Slack, Mattermost, Rocket.Chat and others take at an incoming webhook. */
export function asSlack({ summary, mark, lines }: Content): string {
  const escaped = (text: string): string =>
    text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const body = lines.map((line) => `> ${escaped(line).replaceAll('\n', ' ')}`);
  return JSON.stringify({
    text: `${mark} *${escaped(summary)}*\n${body.join('\n')}`,
  });
}

/** An issue as Jira's `POST /rest/api/2/issue` takes it. */
export function asTicket(
  { id, summary, lines, details, app, deployment }: Content,
  { project, type, fields }: { project: string; type: string; fields: Record<string, unknown> },
): string {
  const description = [...lines, '', ...details, '', `id: ${id}`].join('\n');
  return JSON.stringify({
    fields: {
      project: { key: project },
      issuetype: { name: type },
      summary: summary.slice(0, 250),
      description,
      // By it a message that came twice is found.
      labels: ['zdd-agent', `zdd-${app}-${deployment}`],
      ...fields,
    },
  });
}

function decisive(verdicts: readonly VerdictReport[]): VerdictReport | null {
  return (
    verdicts.find(({ outcome, action }) => outcome === 'fail' && action === 'rollback') ??
    verdicts.find(({ outcome }) => outcome === 'fail' || outcome === 'error') ??
    verdicts.find(({ gate }) => gate === 'sequential') ??
    verdicts[0] ??
    null
  );
}

function windowText({ window }: VerdictReport): string {
  const [from, to] = [window.from, window.to].map((at) => new Date(at).toISOString());
  return `seen from ${from} to ${to}`;
}

function countsText({ requests, lost, totalMs }: Receipt): string {
  return `${requests} requests, ${lost} lost, ${formatDuration(totalMs)}`;
}
