import { chmodSync, closeSync, existsSync, openSync } from 'node:fs';
import { DatabaseSync, type StatementSync } from 'node:sqlite';
import { pathToFileURL } from 'node:url';
import { ZddError } from '../protocol/errors.ts';

/**
 * One entry per version of the schema, never changed once released: `PRAGMA user_version` says how
 * many of them a database has seen.
 */
const MIGRATIONS: readonly string[] = [
  `
  CREATE TABLE apps (
    app TEXT PRIMARY KEY,
    state TEXT NOT NULL,
    live_since INTEGER,
    next_deployment INTEGER NOT NULL DEFAULT 1,
    next_release INTEGER NOT NULL DEFAULT 1
  ) STRICT;

  CREATE TABLE journal (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    app TEXT NOT NULL,
    at INTEGER NOT NULL,
    event TEXT NOT NULL,
    state TEXT NOT NULL
  ) STRICT;
  CREATE INDEX journal_by_app ON journal (app, seq);

  CREATE TABLE events (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    app TEXT NOT NULL,
    deployment INTEGER,
    body TEXT NOT NULL
  ) STRICT;
  CREATE INDEX events_by_app ON events (app, seq);

  CREATE TABLE receipts (
    app TEXT NOT NULL,
    deployment INTEGER NOT NULL,
    body TEXT NOT NULL,
    PRIMARY KEY (app, deployment)
  ) STRICT;

  CREATE TABLE releases (
    app TEXT NOT NULL,
    release TEXT NOT NULL,
    number INTEGER NOT NULL,
    digest TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    files INTEGER NOT NULL,
    created_at INTEGER NOT NULL,
    source TEXT NOT NULL,
    config TEXT NOT NULL,
    verdict TEXT NOT NULL DEFAULT 'unproven' CHECK (verdict IN ('unproven', 'good', 'bad')),
    PRIMARY KEY (app, release),
    UNIQUE (app, digest)
  ) STRICT;

  CREATE TABLE slots (
    app TEXT NOT NULL,
    name TEXT NOT NULL,
    release TEXT NOT NULL,
    deployment INTEGER NOT NULL,
    process TEXT NOT NULL,
    position INTEGER NOT NULL,
    takes_traffic INTEGER NOT NULL,
    overlap INTEGER NOT NULL,
    spec TEXT NOT NULL,
    PRIMARY KEY (app, name)
  ) STRICT;
  CREATE INDEX slots_by_generation ON slots (app, release, deployment);
  `,
  // Drop folder, locks by hand, maintenance, audit.
  `
  CREATE TABLE drops (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app TEXT NOT NULL,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    deployment INTEGER
  ) STRICT;

  CREATE TABLE locks (
    app TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    message TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER
  ) STRICT;

  CREATE TABLE maintenance (
    app TEXT PRIMARY KEY,
    is_on INTEGER NOT NULL,
    owner TEXT NOT NULL,
    message TEXT NOT NULL,
    since INTEGER NOT NULL,
    until INTEGER,
    page TEXT,
    allow TEXT NOT NULL,
    retry_after_s INTEGER NOT NULL
  ) STRICT;

  CREATE TABLE audit (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    at INTEGER NOT NULL,
    app TEXT NOT NULL,
    verb TEXT NOT NULL,
    details TEXT NOT NULL,
    claimed TEXT NOT NULL,
    verified TEXT,
    deployment INTEGER,
    outcome TEXT
  ) STRICT;
  CREATE INDEX audit_by_app ON audit (app, seq);
  `,
  // Variables that the host keeps for apps.
  `
  CREATE TABLE environment (
    app TEXT NOT NULL,
    name TEXT NOT NULL,
    value TEXT NOT NULL,
    changed_at INTEGER NOT NULL,
    changed_by TEXT NOT NULL,
    PRIMARY KEY (app, name)
  ) STRICT;
  `,
  // Notifications. What has ended before is told to nobody.
  `
  CREATE TABLE outbox (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app TEXT NOT NULL,
    deployment INTEGER NOT NULL,
    entry TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    attempts INTEGER NOT NULL DEFAULT 0,
    next_at INTEGER NOT NULL,
    error TEXT
  ) STRICT;
  CREATE TABLE outbox_cursor (seq INTEGER NOT NULL) STRICT;
  INSERT INTO outbox_cursor (seq)
    SELECT coalesce((SELECT seq FROM sqlite_sequence WHERE name = 'events'), 0);
  `,
  // Jobs that run at certain times.
  `
  CREATE TABLE cron_jobs (
    app TEXT NOT NULL,
    job TEXT NOT NULL,
    schedule TEXT NOT NULL,
    since INTEGER NOT NULL,
    PRIMARY KEY (app, job)
  ) STRICT;
  CREATE TABLE cron_runs (
    app TEXT NOT NULL,
    job TEXT NOT NULL,
    due_at INTEGER NOT NULL,
    release TEXT NOT NULL,
    started_at INTEGER,
    ended_at INTEGER,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (app, job, due_at)
  ) STRICT;
  `,
  // Certificates.
  `
  CREATE TABLE certificates (
    id TEXT PRIMARY KEY,
    pem TEXT NOT NULL,
    details TEXT NOT NULL,
    origin TEXT NOT NULL,
    source TEXT NOT NULL,
    added_at INTEGER NOT NULL
  ) STRICT;
  `,
  // Certificates that are issued.
  `
  CREATE TABLE acme_accounts (
    directory TEXT PRIMARY KEY,
    key TEXT NOT NULL,
    url TEXT
  ) STRICT;
  CREATE TABLE acme_failures (
    name TEXT PRIMARY KEY,
    count INTEGER NOT NULL,
    at INTEGER NOT NULL,
    error TEXT NOT NULL
  ) STRICT;
  `,
  // Contracts of migrations.
  `
  CREATE TABLE contracts (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    app TEXT NOT NULL,
    release TEXT NOT NULL,
    number INTEGER NOT NULL,
    owner TEXT NOT NULL,
    at INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    detail TEXT NOT NULL
  ) STRICT;
  CREATE INDEX contracts_by_app ON contracts (app, id);
  `,
  // What Alertmanager says.
  `
  CREATE TABLE alerts (
    fingerprint TEXT PRIMARY KEY,
    at INTEGER NOT NULL,
    body TEXT NOT NULL
  ) STRICT;
  `,
  // Messages about what has not ended yet.
  `
  ALTER TABLE outbox ADD COLUMN about TEXT;
  `,
  // Requests whose answer was lost are found again.
  `
  CREATE INDEX journal_by_request ON journal (json_extract(event, '$.request'));
  `,
];

/**
 * Opens the agent's one database and brings its schema up to date. Every commit is on disk when it
 * returns (WAL with synchronous=FULL): the journal is written before anything is done. Its files are
 * 0600 whatever the umask: they hold the environment of apps.
 * @throws ZDD_STORE_TOO_NEW when a newer agent has written it.
 */
export function openDatabase(path: string): DatabaseSync {
  keepPrivate(path);
  const database = new DatabaseSync(path);
  database.exec('PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 5000');
  migrate(database, path);
  return database;
}

/** SQLite gives the files beside a database the mode of the database itself. */
function keepPrivate(path: string): void {
  for (const file of [path, `${path}-wal`, `${path}-shm`]) {
    if (existsSync(file)) chmodSync(file, 0o600);
  }
  if (!existsSync(path)) closeSync(openSync(path, 'a', 0o600));
}

/**
 * Looks at a database without changing it or its folder.
 * @returns its schema and the one this agent writes; null when there is no database yet
 * @throws ZDD_STORE_TOO_NEW when a newer agent has written it.
 */
export function schemaOf(path: string): { found: number; current: number } | null {
  if (!existsSync(path)) return null;
  const location = pathToFileURL(path);
  // Without a log beside it nobody has it open, and SQLite would make one only to look.
  if (!existsSync(`${path}-wal`)) location.searchParams.set('immutable', '1');
  const database = new DatabaseSync(location, { readOnly: true });
  try {
    const found = versionOf(database);
    refuseNewer(found, path);
    return { found, current: MIGRATIONS.length };
  } finally {
    database.close();
  }
}

function versionOf(database: DatabaseSync): number {
  return Number(database.prepare('PRAGMA user_version').get()?.['user_version'] ?? 0);
}

function refuseNewer(version: number, path: string): void {
  if (version <= MIGRATIONS.length) return;
  throw new ZddError(
    'ZDD_STORE_TOO_NEW',
    `${path} has schema ${version}, this agent knows ${MIGRATIONS.length}`,
    { tries: ['install the newer agent again, or restore the database of this one'] },
  );
}

function migrate(database: DatabaseSync, path: string): void {
  const version = versionOf(database);
  try {
    refuseNewer(version, path);
  } catch (error) {
    database.close();
    throw error;
  }
  for (const [index, statements] of MIGRATIONS.entries()) {
    if (index < version) continue;
    inTransaction(database, () => {
      database.exec(statements);
      database.exec(`PRAGMA user_version = ${index + 1}`);
    });
  }
}

/** Statements prepared once: the same few are asked again for each app of a host. */
export class Statements {
  readonly #database: DatabaseSync;
  readonly #prepared = new Map<string, StatementSync>();

  constructor(database: DatabaseSync) {
    this.#database = database;
  }

  of(sql: string): StatementSync {
    const known = this.#prepared.get(sql) ?? this.#database.prepare(sql);
    this.#prepared.set(sql, known);
    return known;
  }
}

/** Runs `work` in one transaction: all of it is on disk afterwards, or none. */
export function inTransaction<T>(database: DatabaseSync, work: () => T): T {
  database.exec('BEGIN IMMEDIATE');
  try {
    const result = work();
    database.exec('COMMIT');
    return result;
  } catch (error) {
    database.exec('ROLLBACK');
    throw error;
  }
}
