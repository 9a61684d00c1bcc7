import { formatDuration } from '../../protocol/duration.ts';
import type { Outcome, Receipt } from '../../protocol/events.ts';
import type { VerdictReport } from '../../protocol/verdict.ts';

/** What is said of a deployment, whoever is told. Made of its receipt alone. */
export interface Content {
  /** Names the deployment on all hosts alike: `shop#57`. A message that comes twice has it twice. */
  readonly id: string;
  readonly host: string;
  /** `shop #57 r42-ab12cd3 rolled back on web1, deploy by dana@laptop` */
  readonly summary: string;
  /** A line each: code and message, the deciding verdict, evidence, traffic, what to type. */
  readonly lines: readonly string[];
  /** The verdict that decided, or the first that is not a pass. */
  readonly verdict: VerdictReport | null;
  readonly receipt: Receipt;
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
  const { app, deployment, kind, release, outcome, owner, error } = receipt;
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
    lines,
    verdict,
    receipt,
  };
}

/** The JSON of a `webhook`, and of `$ZDD_NOTIFICATION`. Additive only. */
export function asJson({ id, host, summary, lines, verdict, receipt }: Content): string {
  return JSON.stringify({
    schemaVersion: 1,
    event: 'deployment_ended',
    id,
    host,
    summary,
    text: lines.join('\n'),
    verdict,
    receipt,
  });
}

/** What Slack, Mattermost, Rocket.Chat and others take at an incoming webhook. */
export function asSlack({ summary, lines, receipt }: Content): string {
  const escaped = (text: string): string =>
    text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
  const body = lines.map((line) => `> ${escaped(line).replaceAll('\n', ' ')}`);
  return JSON.stringify({
    text: `${MARKS[receipt.outcome]} *${escaped(summary)}*\n${body.join('\n')}`,
  });
}

/** An issue as Jira's `POST /rest/api/2/issue` takes it. */
export function asTicket(
  { id, summary, lines, receipt }: Content,
  { project, type, fields }: { project: string; type: string; fields: Record<string, unknown> },
): string {
  const { app, deployment, source, startedAt, error } = receipt;
  const evidence = (error?.evidence ?? []).map(([label, text]) => `${label}:\n${text}`);
  const description = [
    ...lines,
    '',
    `started: ${new Date(startedAt).toISOString()}`,
    ...(source === undefined || source === '' ? [] : [`from: ${source}`]),
    ...evidence,
    '',
    `id: ${id}`,
  ].join('\n');
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
