import { chmodSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { removeTree } from '../../agent/store/atomic-file.ts';
import { openDatabase } from '../../agent/store/database.ts';
import {
  commitRelease,
  linkShared,
  unpackArtifact,
} from '../../agent/store/release-folder/release-folder.ts';
import { CONFIG, file, LIMITS, tarOf } from './archives.ts';

const NEVER = new AbortController().signal;

let app: string;
let umask: number;
beforeEach(() => {
  umask = process.umask();
  app = join(mkdtempSync(join(tmpdir(), 'zdd-modes-')), 'shop');
});
afterEach(async () => {
  process.umask(umask);
  await removeTree(join(app, '..'));
});

function modeOf(...path: string[]): string {
  return (lstatSync(join(...path)).mode & 0o7777).toString(8);
}

/** Unpacks a release that brings `.env` and `data/seed/bin`, and shares these and `data/made/here`. */
async function deploy(): Promise<string> {
  const archive = join(app, '..', 'a.tar');
  const pieces = [
    file('zdd.yaml', CONFIG),
    file('bin/start', '#!/bin/sh', 0o755),
    file('.env', 'SECRET=1'),
    file('uploads/run', 'x', 0o755),
  ];
  writeFileSync(archive, tarOf(pieces));
  const staging = join(app, 'staging', 'd1');
  await unpackArtifact(archive, staging, LIMITS, NEVER);
  await linkShared(staging, join(app, 'shared'), ['.env', 'uploads', 'data/made/here']);
  await commitRelease(staging, join(app, 'releases'), 'r1');
  return join(app, 'releases', 'r1');
}

test('in a folder that hands down its group, the group reads releases and writes what is shared', async () => {
  process.umask(0o007);
  mkdirSync(app);
  chmodSync(app, 0o2750);
  const release = await deploy();
  expect(modeOf(app, 'releases')).toBe('2750');
  expect(modeOf(release)).toBe('2750');
  expect(modeOf(release, 'bin')).toBe('2750');
  // Made after the release was sealed, so that the group must have been handed down to here.
  expect(modeOf(release, 'data')).toBe('2750');
  expect(modeOf(release, 'bin/start')).toBe('555');
  expect(modeOf(release, 'zdd.yaml')).toBe('444');
  expect(modeOf(app, 'shared')).toBe('2770');
  expect(modeOf(app, 'shared/uploads')).toBe('2770');
  expect(modeOf(app, 'shared/uploads/run')).toBe('770');
  expect(modeOf(app, 'shared/data/made/here')).toBe('2770');
  expect(modeOf(app, 'shared/.env')).toBe('660');
});

test('elsewhere what is shared is private and nobody else gets into a release, whatever the umask', async () => {
  for (const mask of [0o022, 0o000, 0o077]) {
    process.umask(mask);
    const release = await deploy();
    expect(modeOf(release)).toBe('750');
    expect(modeOf(release, 'bin/start')).toBe('555');
    expect(modeOf(release, 'zdd.yaml')).toBe('444');
    expect(modeOf(app, 'shared')).toBe('700');
    expect(modeOf(app, 'shared/uploads')).toBe('700');
    expect(modeOf(app, 'shared/uploads/run')).toBe('700');
    expect(modeOf(app, 'shared/.env')).toBe('600');
    await removeTree(app);
  }
});

test('the files of the database are 0600, also those that were wider before', () => {
  process.umask(0);
  const folder = join(app, '..');
  const path = join(folder, 'agent.db');
  const first = openDatabase(path);
  expect(databaseModes(folder)).toEqual(['600', '600', '600']);
  first.close();
  chmodSync(path, 0o666);
  const second = openDatabase(path);
  expect(databaseModes(folder)).toEqual(['600', '600', '600']);
  second.close();
});

function databaseModes(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => name.startsWith('agent.db'))
    .map((name) => modeOf(folder, name));
}
