import { ZddError } from '../protocol/errors.ts';

/**
 * What some HAProxy from 2.6 on can do and others cannot. Each is behind one row of `TABLE`; who acts
 * on one asks `capabilitiesOf` with the version of the very worker it talks to, which may change with
 * any reload after an upgrade of the package.
 */
export type Capability =
  | 'reload_answers'
  | 'retries_are_errors'
  | 'wait_removable'
  | 'pools_by_default'
  | 'dynamic_cookies'
  | 'log_profiles';

export type Capabilities = ReadonlySet<Capability>;

interface Row {
  readonly capability: Capability;
  /** The first version that has it: major and minor. */
  readonly since: readonly [number, number];
  /** For `doctor`, and for who reads this. */
  readonly means: string;
}

/** The agent speaks to 2.6 and newer: before it dynamic servers needed the experimental mode. */
const FLOOR = [2, 6] as const;

const TABLE: readonly Row[] = [
  {
    capability: 'reload_answers',
    since: [2, 7],
    means: 'a reload is answered when the new worker stands, or with why it does not',
  },
  {
    // Measured: not so on 2.6.12, so on 3.0.11 and 3.2.26; between them it was not looked at.
    capability: 'retries_are_errors',
    since: [3, 0],
    means: 'an answer that failed counts as an error of the server also when a retry saved it',
  },
  {
    capability: 'wait_removable',
    since: [3, 0],
    means: 'a server can be waited for until its last connection has gone',
  },
  {
    // The agent says the pool settings all the same: so they are equal on every version.
    capability: 'pools_by_default',
    since: [3, 0],
    means: 'servers added at runtime reuse connections without being told to',
  },
  {
    capability: 'dynamic_cookies',
    since: [3, 0],
    means: 'servers added at runtime may have a cookie of their own',
  },
  {
    capability: 'log_profiles',
    since: [3, 1],
    means: 'each log target may have a format of its own',
  },
];

/** What a HAProxy of this version can do, `3.0.11-1+deb13u4` for one. Pure. */
export function capabilitiesOf(version: string): Capabilities {
  const number = numberOf(version);
  return new Set(
    TABLE.filter(({ since }) => number >= rank(since)).map(({ capability }) => capability),
  );
}

/** The same in words, in the order of the table. Pure. */
export function capabilityWords(version: string): readonly string[] {
  const can = capabilitiesOf(version);
  return TABLE.filter(({ capability }) => can.has(capability)).map(({ means }) => means);
}

/**
 * @returns the version when it is new enough
 * @throws ZDD_HAPROXY_TOO_OLD
 */
export function requireVersion(version: string): string {
  if (numberOf(version) >= rank(FLOOR)) return version;
  throw new ZddError('ZDD_HAPROXY_TOO_OLD', `HAProxy ${version} is too old: 2.6 is needed.`, {
    evidence: [['found', version]],
    tries: ['apt-get install haproxy', 'haproxy -v'],
  });
}

function numberOf(version: string): number {
  const [, major, minor] = /(\d+)\.(\d+)/.exec(version) ?? [];
  return rank([Number(major), Number(minor)]);
}

function rank([major, minor]: readonly [number, number]): number {
  return major * 1_000 + minor;
}
