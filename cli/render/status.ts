import type {
  AppStatus,
  Finding,
  GenerationStatus,
  StatusReply,
} from '../../agent/protocol/api.ts';
import { formatDuration } from '../../agent/protocol/duration.ts';
import { age, counted, leftText, shortRelease } from './amounts.ts';
import { findingLines } from './findings.ts';
import type { Screen } from './screen.ts';
import { clean, table } from './text.ts';
import { skewOf } from './version-skew.ts';

export const NONE = '–';
const HEAD = ['app', 'live', 'traffic', 'instances', 'since', 'warm'] as const;

/** One line an app, then what happens now and what needs attention. */
export function statusLines(
  screen: Screen,
  reply: StatusReply,
  { now, cli }: { readonly now: number; readonly cli: string },
): string[] {
  const lines = [`agent ${reply.agent}, ${counted(reply.apps.length, 'app')}`, ''];
  if (reply.apps.length === 0) {
    lines.push('no app yet. Try: zdd-agent push');
  } else {
    lines.push(...appTable(screen, reply.apps, now));
  }
  for (const [title, rows] of newsOf(reply.apps, now)) lines.push(...section(title, rows));
  lines.push(...attentionLines(screen, [...skewOf(cli, reply.agent), ...reply.attention]));
  return lines;
}

/** What goes on now, under its title. */
export function newsOf(
  apps: readonly AppStatus[],
  now: number,
): readonly (readonly [title: string, rows: readonly string[]])[] {
  return [
    ['deploying', apps.flatMap((app) => deploying(app, now))],
    ['scaled', apps.flatMap(scaled)],
    ['stopped', apps.flatMap((app) => stopped(app, now))],
    ['closed', apps.flatMap((app) => closed(app, now))],
    ['leaving', apps.flatMap(leaving)],
    ['jobs', apps.flatMap((app) => jobs(app, now))],
    ['restarting', apps.flatMap(restarting)],
  ];
}

/** The cells of one app, by column. */
export function appCells(app: AppStatus, now: number) {
  const live = app.generations.find(({ role }) => role === 'stable');
  return {
    name: app.app,
    live: app.live ?? app.stopped?.release ?? NONE,
    traffic: app.stopped ? 'stopped' : trafficText(live),
    instances: instancesText(live),
    since: app.since === null ? NONE : age(now - app.since),
    warm: warmText(app, now) || NONE,
    tls: app.tls ? leftText(app.tls, now) : NONE,
  };
}

/** Whether an instance of it is down now. */
export function isAiling({ generations }: AppStatus): boolean {
  return generations.some(({ instances }) => instances.some(isDown));
}

function appTable(screen: Screen, apps: readonly AppStatus[], now: number): string[] {
  const withTls = apps.some(({ tls }) => tls);
  const rows = apps.map((app) => {
    const { name, live, traffic, instances, since, warm, tls } = appCells(app, now);
    return [name, live, traffic, instances, since, warm, ...(withTls ? [tls] : [])];
  });
  const ailing = apps.map(isAiling);
  return table(withTls ? [...HEAD, 'tls'] : HEAD, rows, (text, column, row) => {
    if (column === 6 && apps[row]?.tls && apps[row].tls.expiry !== 'good') {
      return screen.out.yellow(text);
    }
    if (column === 3 && ailing[row]) return screen.out.yellow(text);
    if (column === 2 && text === 'stopped') return screen.out.yellow(text);
    return column === 1 && apps[row]?.live ? screen.out.green(text) : text;
  });
}

function trafficText(live: GenerationStatus | undefined): string {
  return live?.traffic === undefined || live.traffic === null ? NONE : `${live.traffic} %`;
}

/** `web 2/2, worker 1/1`: running of wanted. */
function instancesText(live: GenerationStatus | undefined): string {
  const types = new Map<string, { running: number; all: number }>();
  for (const { process, state } of live?.instances ?? []) {
    const type = types.get(process) ?? { running: 0, all: 0 };
    type.all += 1;
    if (state === 'running') type.running += 1;
    types.set(process, type);
  }
  return (
    [...types].map(([name, { running, all }]) => `${name} ${running}/${all}`).join(', ') || NONE
  );
}

function warmText(app: AppStatus, now: number): string {
  return app.generations
    .filter(({ role, warmUntil }) => role === 'warm' && warmUntil !== null && warmUntil > now)
    .map(({ release, warmUntil }) => `${shortRelease(release)} (${age((warmUntil ?? now) - now)})`)
    .join(', ');
}

function deploying(app: AppStatus, now: number): string[] {
  const { deployment } = app;
  if (deployment === null) return [];
  const { kind = 'deploy' } = deployment;
  const what = kind === 'deploy' ? '' : ` ${kind}`;
  const release = deployment.release === null ? '' : ` ${deployment.release}`;
  const since = age(now - deployment.startedAt);
  return [
    `${app.app} #${deployment.id}${what}${release} ${deployment.phase}${canaryText(app)}${rollingText(app)}, ${since}, by ${deployment.owner}`,
    ...pausedText(app),
  ];
}

/** ` 25 % (4 of 7: hold 2m)` */
function canaryText({ deployment }: AppStatus): string {
  const canary = deployment?.canary;
  if (canary === undefined) return '';
  const { percent, step, steps, doing, paused } = canary;
  return ` ${percent} % (${step} of ${steps}: ${paused === null ? clean(doing) : 'paused'})`;
}

/** ` 2 of 4 new, 3 old (watch)` */
function rollingText({ deployment }: AppStatus): string {
  const rolling = deployment?.rolling;
  if (rolling === undefined) return '';
  const { serving, of, left, doing, paused } = rolling;
  return ` ${serving} of ${of} new, ${left} old (${paused === null ? doing : 'paused'})`;
}

function pausedText({ app, deployment }: AppStatus): string[] {
  const paused = deployment?.canary?.paused ?? deployment?.rolling?.paused ?? null;
  if (paused === null) return [];
  return [
    `  ${clean(paused)}`,
    `  Try: zdd-agent resume --app ${app}      or: zdd-agent abort --app ${app}`,
  ];
}

/** Where the numbers are not those of zdd.yaml. */
function scaled({ app, scaled: all = [] }: AppStatus): string[] {
  return all.map(({ process, instances, configured }) => {
    const says = configured === null ? 'zdd.yaml has none' : `zdd.yaml says ${configured}`;
    return `${app} ${process}=${instances}, ${says}`;
  });
}

function stopped({ app, stopped: by }: AppStatus, now: number): string[] {
  return by
    ? [`${app} by ${by.owner}, ${age(now - by.at)} ago. Try: zdd-agent start --app ${app}`]
    : [];
}

/** What keeps people out: visitors, or whoever wants to deploy. */
function closed({ app, lock, maintenance }: AppStatus, now: number): string[] {
  const said = (what: string, by: NonNullable<AppStatus['lock']>): string => {
    const ends = by.until === null ? '' : `, ${age(by.until - now)} left`;
    const reason = by.message === '' ? '' : `: ${clean(by.message)}`;
    return `${app} ${what} by ${by.owner} ${age(now - by.since)} ago${ends}${reason}`;
  };
  return [
    ...(maintenance ? [said('in maintenance (503)', maintenance)] : []),
    ...(lock ? [said('locked', lock)] : []),
  ];
}

/** Releases that take no new requests and still hold connections, or are being stopped. */
function leaving(app: AppStatus): string[] {
  return app.generations
    .filter(
      ({ role, requests, websockets, streams }) =>
        role === 'draining' ||
        role === 'stopping' ||
        (role === 'warm' && (requests ?? 0) + (websockets ?? 0) + (streams ?? 0) > 0),
    )
    .map(({ release, role, requests, websockets, streams }) => {
      const held = [
        requests === null ? '' : counted(requests, 'request'),
        websockets === null ? '' : counted(websockets, 'WebSocket'),
        (streams ?? 0) === 0 ? '' : counted(streams ?? 0, 'stream'),
      ].filter((text) => text !== '');
      return `${app.app} ${release} ${role}${held.length > 0 ? `: ${held.join(', ')}` : ''}`;
    });
}

function jobs({ app, cron = [] }: AppStatus, now: number): string[] {
  return cron.map(({ job, schedule, zone, nextAt, last }) => {
    const took = last?.ms == null ? '' : ` in ${formatDuration(last.ms)}`;
    const ran = last === null ? 'not yet' : `${last.outcome} ${age(now - last.at)} ago${took}`;
    const next = nextAt === null ? 'never again' : `next in ${age(nextAt - now)}`;
    return `${app} ${job} (${schedule} ${zone}): ${ran}, ${next}`;
  });
}

function restarting(app: AppStatus): string[] {
  return app.generations.flatMap(({ instances }) =>
    instances
      .filter(isDown)
      .map(
        ({ slot, restarts }) =>
          `${app.app} ${slot} is down, restarted ${counted(restarts, 'time')}`,
      ),
  );
}

function isDown({ state }: GenerationStatus['instances'][number]): boolean {
  return state === 'backing_off';
}

function section(title: string, rows: readonly string[]): string[] {
  return rows.length === 0 ? [] : ['', title, ...rows.map((row) => `  ${row}`)];
}

function attentionLines(screen: Screen, findings: readonly Finding[]): string[] {
  if (findings.length === 0) return [];
  return [
    '',
    screen.out.yellow('attention'),
    ...findings.flatMap((each) => findingLines(screen, each, '')),
  ];
}
