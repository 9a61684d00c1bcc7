import { ZddError } from '../protocol/errors.ts';

/** A row of `show stat`. */
export interface StatRow {
  /** By column name; undefined for one that this version lacks. */
  get(column: string): string | undefined;
}

/** `show info`, as far as it is used. */
export interface ProcessInfo {
  readonly version: string;
  readonly pid: number;
}

/** A row of `show servers conn`. */
export interface ServerConnRow {
  readonly backend: string;
  readonly server: string;
  /** Connections in use: requests in flight and tunnels, not idle pooled ones. */
  readonly used: number;
  readonly idle: number;
}

/** A worker in `show proc`. */
export interface Worker {
  readonly pid: number;
  /** Reloads since it was the current one: the more, the older. */
  readonly reloads: number;
}

/** `show proc` of the master. */
export interface Processes {
  readonly master: number;
  /** Grows with every reload the master attempts. */
  readonly reloads: number;
  /** Failed reloads since the last one that worked. */
  readonly failed: number;
  readonly current: Worker | undefined;
  readonly old: readonly Worker[];
}

/** @throws ZDD_HAPROXY_COMMAND when the text is no `show info` */
export function parseInfo(text: string): ProcessInfo {
  const version = /^Version: (\S+)/m.exec(text)?.[1];
  const pid = Number(/^Pid: (\d+)/m.exec(text)?.[1]);
  if (version === undefined || !Number.isInteger(pid)) throw unreadable('show info', text);
  return { version, pid };
}

/** The value of `show env NAME`, undefined when the process has no such variable. */
export function parseEnv(name: string, text: string): string | undefined {
  const line = text.split('\n').find((candidate) => candidate.startsWith(`${name}=`));
  return line?.slice(name.length + 1);
}

/** @throws ZDD_HAPROXY_COMMAND when the text is no `show stat` */
export function parseStat(text: string): readonly StatRow[] {
  const [header, ...lines] = text.split('\n').filter((line) => line !== '');
  if (header === undefined || !header.startsWith('# pxname,svname,')) {
    throw unreadable('show stat', text);
  }
  const columns = new Map(
    header
      .slice(2)
      .split(',')
      .map((name, index) => [name, index]),
  );
  // A row has about a hundred columns and a few are asked for: a map of each would cost far more.
  return lines.map((line) => {
    const values = splitCsv(line);
    return {
      get(column) {
        const index = columns.get(column);
        return index === undefined ? undefined : (values[index] ?? '');
      },
    };
  });
}

/** `show map FILE`: `0x55d5b2612f80 key value`. Of a key that is there more than once the first counts. */
export function parseMap(text: string): ReadonlyMap<string, string> {
  const map = new Map<string, string>();
  for (const line of text.split('\n')) {
    const [, key, value] = /^0x[0-9a-f]+ (\S+) (.*)$/.exec(line) ?? [];
    if (key !== undefined && value !== undefined && !map.has(key)) map.set(key, value);
  }
  return map;
}

/** A number of a row; 0 when the column is absent or empty. */
export function statNumber(row: StatRow, column: string): number {
  const value = Number(row.get(column) ?? '');
  return Number.isFinite(value) ? value : 0;
}

/** @throws ZDD_HAPROXY_COMMAND when the text is no `show servers conn` */
export function parseServersConn(text: string): readonly ServerConnRow[] {
  const [header, ...lines] = text.split('\n').filter((line) => line !== '');
  if (!header?.startsWith('# bkname/svname ')) throw unreadable('show servers conn', text);
  const columns = header.slice(2).split(' ');
  const used = columns.indexOf('used_cur');
  const idle = columns.indexOf('idle_cur');
  if (used < 0 || idle < 0) throw unreadable('show servers conn', text);
  return lines.map((line) => {
    const values = line.split(' ');
    const [backend = '', server = ''] = (values[0] ?? '').split('/');
    return { backend, server, used: Number(values[used]), idle: Number(values[idle]) };
  });
}

/** @throws ZDD_HAPROXY_COMMAND when the text is no `show proc` */
export function parseProcesses(text: string): Processes {
  let section: 'current' | 'old' | 'other' = 'other';
  let master: Pick<Processes, 'master' | 'reloads' | 'failed'> | undefined;
  const current: Worker[] = [];
  const old: Worker[] = [];
  for (const line of text.split('\n')) {
    if (line.startsWith('# workers')) section = 'current';
    else if (line.startsWith('# old workers')) section = 'old';
    else if (line.startsWith('#')) section = 'other';
    const row = /^(\d+)\s+(\S+)\s+(\d+)(?:\s+\[failed: (\d+)\])?/.exec(line);
    if (row === null) continue;
    const pid = Number(row[1]);
    const reloads = Number(row[3]);
    if (row[2] === 'master') {
      master = { master: pid, reloads, failed: Number(row[4] ?? 0) };
    } else if (row[2] === 'worker' && section === 'current') current.push({ pid, reloads });
    else if (row[2] === 'worker' && section === 'old') old.push({ pid, reloads });
  }
  if (master === undefined) throw unreadable('show proc', text);
  if (current[0] === undefined && master.failed > 0) return { ...master, ...afterFailure(old) };
  return { ...master, current: current[0], old };
}

/**
 * From 3.1 on a worker that serves on because its successor did not start stands among the old ones,
 * the youngest of them, and no other is the current one until a reload works (measured on 3.2.26).
 */
function afterFailure(old: readonly Worker[]): Pick<Processes, 'current' | 'old'> {
  const [current, ...rest] = old.toSorted((a, b) => a.reloads - b.reloads);
  return { current, old: rest };
}

function splitCsv(line: string): readonly string[] {
  // Every other part stands in quotes; as a rule without a comma, and then these do not matter.
  const parts = line.split('"');
  const isPlain = parts.every((part, index) =>
    index % 2 === 1
      ? !part.includes(',')
      : part !== '' || index === 0 || index === parts.length - 1,
  );
  if (isPlain) return parts.join('').split(',');
  // Quoted as in RFC 4180: check texts may hold commas, and quotes written twice.
  return [...line.matchAll(/(?:^|,)(?:"((?:[^"]|"")*)"|([^,]*))/g)].map(
    ([, quoted, plain]) => quoted?.replaceAll('""', '"') ?? plain ?? '',
  );
}

function unreadable(command: string, text: string): ZddError {
  return new ZddError('ZDD_HAPROXY_COMMAND', `HAProxy's answer to "${command}" is not readable.`, {
    evidence: [['answer', text.slice(0, 300)]],
  });
}

/**
 * TCP ports a worker listens on, of `show fd`: `... l.st=RDY fe=www fam=ipv4 lport=80` (2.6 and 3.0).
 */
export function listeningPorts(answer: string): ReadonlySet<number> {
  return new Set(
    answer.split('\n').flatMap((line) => {
      const port = / l\.st=\S+ .* lport=(\d+)/.exec(line)?.[1];
      return port === undefined ? [] : [Number(port)];
    }),
  );
}
