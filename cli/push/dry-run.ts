import type { AppStatus } from '../../agent/protocol/api.ts';
import { toErrorBody, ZddError } from '../../agent/protocol/errors.ts';
import { outlineOf } from '../../agent/protocol/manifest.ts';
import { PREVIEW, type PreviewReply } from '../../agent/protocol/preview.ts';
import type { Agent } from '../connect/agent.ts';
import type { Context } from '../context.ts';
import { counted, bytes as sizeText } from '../render/amounts.ts';
import { lineDiff } from '../render/diff.ts';
import { rows } from '../render/error.ts';
import type { Progress } from '../render/progress.ts';
import { cut } from '../render/text.ts';
import type { Load, Look } from './load.ts';
import { lookAtApp } from './lock.ts';
import { planLines } from './plan.ts';
import type { Prepared, PushWish } from './prepare.ts';
import { bytesOf, digestOfTree, filesOf } from './source/tree.ts';

/** Lines of a difference that are shown; `--json` has all of them. */
const SHOWN = 40;
/** A line that is longer is cut: broken, it would look like several. */
const WIDTH = 60;

/** What a host says about a push. */
interface Asked {
  /** In words: what stands there, or why that is not known. */
  readonly now: string;
  readonly status: AppStatus | null;
  readonly preview: PreviewReply | null;
}

/** Looks, asks and says what a push would do. Sends nothing. @returns the exit code */
export async function dryRun(
  context: Context,
  agent: Agent,
  progress: Progress,
  look: Look,
  prepared: Prepared,
  wish: PushWish,
): Promise<number> {
  const { screen } = context;
  const { origin, config, app, source } = prepared;
  const load = await look.shown(progress);
  const { now, status, preview } = await ask(agent, prepared, load, context.interrupts.signal);
  const summed =
    load.kind === 'tree'
      ? { artifact: digestOfTree(load.tree), bytes: bytesOf(filesOf(load.tree)) }
      : { artifact: load.sha256, bytes: load.bytes };
  screen.value({
    schemaVersion: 1,
    dryRun: true,
    app,
    source: origin,
    ...summed,
    before: now,
    config,
    preview,
  });
  const lines = [
    `${app ?? source.typed}: nothing was sent`,
    ...rows([
      ['would send', toSend(load, preview)],
      ['sha256', summed.artifact],
      ['now', now],
    ]),
  ];
  if (preview !== null) lines.push(...rows(changesOf(preview)));
  if (config) {
    const { bakeMs, probeTimeoutMs } = wish;
    lines.push(
      ...planLines(config, {
        ...(bakeMs === undefined ? {} : { bakeMs }),
        ...(probeTimeoutMs === undefined ? {} : { probeTimeoutMs }),
        scaled: status?.scaled ?? [],
      }),
    );
  } else {
    lines.push(...rows([['plan', 'the agent reads zdd.yaml from the archive']]));
  }
  if (preview !== null) lines.push(...rows(endOf(preview, status)));
  lines.push(...(await migrationLines(config?.migrations, load, preview)));
  screen.data(lines.join('\n'));
  return 0;
}

/** What new migrations would do to the release that still runs. */
async function migrationLines(
  folder: string | undefined,
  load: Load,
  preview: PreviewReply | null,
): Promise<string[]> {
  if (folder === undefined || load.kind === 'archive') return [];
  const [{ lintTree }, { lintLines }] = await Promise.all([
    import('../lint/files.ts'),
    import('../lint/lint.ts'),
  ]);
  // Where there are many files that differ, the agent does not name them all.
  const differing = preview?.live == null ? [] : [preview.files.added, preview.files.changed];
  const named = differing.flatMap(({ some }) => some);
  const all = differing.length === 0 || differing.some(({ count, some }) => count > some.length);
  return [
    '',
    ...lintLines(await lintTree(load.tree, folder, (path) => all || named.includes(path))),
  ];
}

/** A host out of reach is no reason not to show the rest. */
async function ask(
  agent: Agent,
  { app, configText }: Prepared,
  load: Load,
  signal: AbortSignal,
): Promise<Asked> {
  const nothing = { status: null, preview: null };
  if (app === null)
    return { now: 'unknown: only the agent can tell which app this is', ...nothing };
  try {
    const status = await lookAtApp(agent, app, signal);
    const now = describe(status);
    if (load.kind === 'archive' || configText === null || !(await agent.has(PREVIEW, signal))) {
      return { now, status, preview: null };
    }
    const outline = outlineOf({ digest: digestOfTree(load.tree), entries: load.tree.entries });
    const preview = await agent.preview(app, { config: configText, outline }, signal);
    return { now, status, preview };
  } catch (cause) {
    if (cause instanceof ZddError && cause.code === 'ZDD_AGENT_UNREACHABLE') {
      return { now: `unknown: ${toErrorBody(cause).message}`, ...nothing };
    }
    throw cause;
  }
}

function describe(status: AppStatus | null): string {
  if (status === null) return 'the first deployment of this app';
  const { live, stopped, deployment } = status;
  const now = stopped
    ? `stopped ${stopped.release}; this would start it`
    : `live ${live ?? 'nothing'}`;
  if (!deployment) return now;
  return `${now}; #${deployment.id} is ${deployment.phase} and would refuse this`;
}

function toSend(load: Load, preview: PreviewReply | null): string {
  const { summary } = load;
  if (preview === null || load.kind === 'archive') return summary;
  const { files, bytes } = preview.lacking;
  if (files === filesOf(load.tree).length) return summary;
  const what = files === 0 ? 'nothing' : `${counted(files, 'file')}, ${sizeText(bytes)}`;
  return `${what} of ${summary}`;
}

function changesOf({ release, config, live, files, haproxy }: PreviewReply): [string, string][] {
  const region = lineDiff(haproxy.before, haproxy.after);
  const changes: [string, string][] = [
    ['would be', live?.release === release ? `${release}, which is live` : release],
    ['files', filesText(files)],
  ];
  // Before the first release there is nothing to compare with.
  if (live !== null) {
    changes.push(['zdd.yaml', diffText(lineDiff(live.config, config))]);
  }
  return [...changes, ['haproxy.cfg', diffText(region)]];
}

function filesText({ added, changed, removed }: PreviewReply['files']): string {
  const kinds = [
    { sign: '+', verb: 'added', paths: added },
    { sign: '~', verb: 'changed', paths: changed },
    { sign: '-', verb: 'removed', paths: removed },
  ].filter(({ paths }) => paths.count > 0);
  if (kinds.length === 0) return 'none differs from those that are live';
  const head = kinds.map(({ verb, paths }) => `${paths.count} ${verb}`).join(', ');
  const lines = kinds.flatMap(({ sign, paths: { count, some } }) => [
    ...some.map((path) => `${sign} ${path}`),
    ...(count > some.length ? [`${sign} … and ${count - some.length} more`] : []),
  ]);
  return [head, ...lines].join('\n');
}

function diffText(lines: readonly string[]): string {
  if (lines.length === 0) return 'no change';
  const more = lines.length - SHOWN;
  const shown = lines.slice(0, SHOWN).map((line) => cut(line, WIDTH));
  return [...shown, ...(more > 0 ? [`… and ${more} lines more`] : [])].join('\n');
}

/** What becomes of releases that are there. */
function endOf({ release, pruned }: PreviewReply, status: AppStatus | null): [string, string][] {
  const old = status?.generations.find(({ role }) => role === 'stable');
  const drains = old !== undefined && old.release !== release;
  const held = [
    counted(old?.requests ?? 0, 'request'),
    counted(old?.websockets ?? 0, 'WebSocket'),
  ].join(' and ');
  return [
    ['would drain', drains ? `${old.release}, now with ${held}` : 'nothing'],
    ['would prune', pruned.length === 0 ? 'nothing' : pruned.join(', ')],
  ];
}
