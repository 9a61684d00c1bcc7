import { execFileSync } from 'node:child_process';
import { chmod, mkdir, rm, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { findCommit, gitTree } from '../../cli/push/source/git.ts';
import { checkedContent, filesOf } from '../../cli/push/source/tree.ts';
import { cli, temporaryFolder } from './run-cli.ts';
import { receipt, storyOf, ZDD_YAML } from './samples.ts';
import {
  json,
  readJson,
  replies,
  type StandIn,
  standIn,
  streams,
  takesArtifacts,
} from './stand-in.ts';

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let project: string;
const { signal } = new AbortController();

beforeEach(async () => {
  folder = await temporaryFolder();
  project = join(folder.path, 'project');
  await mkdir(join(project, 'bin'), { recursive: true });
  await writeFile(join(project, 'zdd.yaml'), ZDD_YAML);
  await writeFile(join(project, 'server.js'), 'listen()\n');
  await writeFile(join(project, 'bin', 'run'), '#!/bin/sh\n');
  await chmod(join(project, 'bin', 'run'), 0o755);
  git('init', '-q');
  commit();
});
afterEach(() => folder.remove());

function git(...args: string[]): string {
  const who = ['-c', 'user.name=t', '-c', 'user.email=t@example.com'];
  return execFileSync('git', [...who, ...args], { cwd: project, encoding: 'utf8' });
}

function commit(): void {
  git('add', '-A');
  git('commit', '-qm', 'as it is');
}

/** Paths of a commit's files with their contents. */
async function contents(revision: string, cwd = project): Promise<Record<string, string>> {
  const tree = await gitTree(await findCommit(revision, cwd), signal);
  const found: Record<string, string> = {};
  for (const file of filesOf(tree)) {
    let text = '';
    for await (const chunk of checkedContent(tree, file)) text += chunk.toString('utf8');
    found[file.path] = text;
  }
  await tree.close();
  return found;
}

const refusal = async () =>
  await gitTree(await findCommit('HEAD', project), signal).then(
    () => null,
    (cause: unknown) => cause,
  );

test('a commit is what was committed, whatever lies in the work tree, and that is left as it is', async () => {
  await writeFile(join(project, 'server.js'), 'listen(2)\n');
  await writeFile(join(project, 'new.js'), 'new');
  await rm(join(project, 'bin'), { recursive: true });
  const before = git('status', '--porcelain');
  expect(await contents('HEAD')).toEqual({
    'bin/run': '#!/bin/sh\n',
    'server.js': 'listen()\n',
    'zdd.yaml': ZDD_YAML,
  });
  expect(git('status', '--porcelain')).toBe(before);
  commit();
  expect(Object.keys(await contents('HEAD'))).toEqual(['new.js', 'server.js', 'zdd.yaml']);
  expect(Object.keys(await contents('HEAD~1'))).toContain('bin/run');
});

test('modes, links and folders are told as a folder tells them', async () => {
  await symlink('bin/run', join(project, 'start'));
  commit();
  const { entries, close } = await gitTree(await findCommit('HEAD', project), signal);
  await close();
  expect(entries).toMatchObject([
    { type: 'directory', path: 'bin' },
    { type: 'file', path: 'bin/run', executable: true, bytes: 10 },
    { type: 'file', path: 'server.js', executable: false },
    { type: 'symlink', path: 'start', target: 'bin/run' },
    { type: 'file', path: 'zdd.yaml' },
  ]);
});

test('the .zddignore of the commit counts, not that of the work tree', async () => {
  await writeFile(join(project, '.zddignore'), 'bin/\n');
  commit();
  await writeFile(join(project, '.zddignore'), 'server.js\n');
  expect(Object.keys(await contents('HEAD'))).toEqual(['.zddignore', 'server.js', 'zdd.yaml']);
});

test('in a folder of a repository only that folder is pushed', async () => {
  const inner = join(project, 'apps', 'blog');
  await mkdir(inner, { recursive: true });
  await writeFile(join(inner, 'zdd.yaml'), 'app: blog\n');
  commit();
  expect(Object.keys(await contents('HEAD', inner))).toEqual(['zdd.yaml']);
});

test('large and empty files come whole', async () => {
  await writeFile(join(project, 'large.txt'), 'x'.repeat(3_000_001));
  await writeFile(join(project, 'empty'), '');
  commit();
  const found = await contents('HEAD');
  expect(found['large.txt']?.length).toBe(3_000_001);
  expect(found['empty']).toBe('');
  expect(found['zdd.yaml']).toBe(ZDD_YAML);
});

test('links that lead out and submodules are refused together', async () => {
  await symlink('/etc/passwd', join(project, 'absolute'));
  git('update-index', '--add', '--cacheinfo', `160000,${git('rev-parse', 'HEAD').trim()},module`);
  git('add', 'absolute');
  git('commit', '-qm', 'bad');
  expect(await refusal()).toMatchObject({
    code: 'ZDD_ARTIFACT_UNSAFE',
    evidence: [
      ['absolute', 'a link to the absolute path /etc/passwd'],
      ['module', 'a submodule: its files are in another repository'],
    ],
  });
});

let agent: StandIn;

test('push git:REV names the commit and sends its tree, to an agent of any age', async () => {
  const id = git('rev-parse', 'HEAD').trim();
  await writeFile(join(project, 'server.js'), 'changed since\n');
  agent = await standIn(join(folder.path, 'agent.sock'));
  let asked: unknown;
  agent.on(
    'GET /v1/apps/shop',
    replies({
      app: 'shop',
      live: null,
      since: null,
      routes: [],
      deployment: null,
      generations: [],
    }),
  );
  agent.on('POST /v1/artifacts', takesArtifacts(agent));
  agent.on('POST /v1/deployments', async (request, response) => {
    asked = await readJson(request);
    json(response, 202, { app: 'shop', deployment: 57, result: 'started', since: 100 });
  });
  agent.on('GET /v1/events', streams(storyOf(receipt())));
  const ran = await cli(['push', 'git:HEAD', '--detach'], { cwd: project, socket: agent.socket });
  expect(ran.code).toBe(0);
  expect(asked).toMatchObject({ source: `./ (git ${id.slice(0, 7)}, as committed)` });
  const sent = agent.bodies.get('/v1/artifacts') ?? Buffer.alloc(0);
  const text = execFileSync('tar', ['-xzO', '-f', '-', 'server.js'], { input: sent });
  expect(text.toString()).toBe('listen()\n');
  await agent.close();
});

test.each([
  ['git:nothing', 'there is no commit nothing to push here'],
  ['git:', 'there is no commit (empty) to push here'],
  ['git:--help', 'there is no commit --help to push here'],
])('%s is refused as what it is', async (typed, words) => {
  const ran = await cli(['push', typed], { cwd: project, socket: '/none' });
  expect(ran).toMatchObject({ code: 2, stderr: expect.stringContaining(words) });
});

test('a commit without zdd.yaml, and a folder that is no repository, are told apart', async () => {
  git('rm', '-q', 'zdd.yaml');
  git('commit', '-qm', 'without');
  const without = await cli(['push', 'git:HEAD'], { cwd: project, socket: '/none' });
  expect(without).toMatchObject({
    code: 10,
    stderr: expect.stringContaining('ZDD_CONFIG_MISSING'),
  });
  const outside = await cli(['push', 'git:HEAD'], { cwd: folder.path, socket: '/none' });
  expect(outside).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('not a git repository'),
  });
});
