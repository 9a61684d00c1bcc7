import { readdirSync } from 'node:fs';
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { parse } from 'yaml';
import { cli, temporaryFolder, tooWide } from '../run-cli.ts';

const FIXTURES = fileURLToPath(new URL('fixtures', import.meta.url));
const GOLDEN = fileURLToPath(new URL('golden', import.meta.url));
const PROJECTS = readdirSync(FIXTURES);

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
beforeEach(async () => {
  folder = await temporaryFolder();
});
afterEach(() => folder.remove());

async function copyOf(project: string): Promise<string> {
  const path = join(folder.path, project);
  await cp(join(FIXTURES, project), path, { recursive: true });
  return path;
}

test.each(PROJECTS)('what init says and proposes for %s is its golden file', async (project) => {
  const cwd = await copyOf(project);
  const { code, stdout, stderr } = await cli(['init', '--dry-run'], { cwd });
  await expect(`${stdout}${stderr}exit ${code}\n`).toMatchFileSnapshot(
    join(GOLDEN, `${project}.txt`),
  );
  const [said = ''] = stdout.split('\nzdd.yaml:\n');
  expect(tooWide(said + stderr)).toEqual([]);
});

test.each(PROJECTS)('what init writes for %s passes config check', async (project) => {
  const cwd = await copyOf(project);
  const { code } = await cli(['init', '--host', 'deploy@web1.example.com'], { cwd });
  if (['dockerfile-only', 'nothing'].includes(project)) {
    expect(code).toBe(2);
    expect(readdirSync(cwd)).not.toContain('zdd.yaml');
    return;
  }
  expect(await cli(['config', 'check'], { cwd })).toMatchObject({ code: 0, stderr: '' });
  const written: unknown = parse(await readFile(join(cwd, 'zdd.yaml'), 'utf8'));
  expect(written).toMatchObject({
    environments: { production: { hosts: ['deploy@web1.example.com'] } },
  });
});

test('a release command that was guessed is valid once its # is taken away', async () => {
  for (const project of ['node-express', 'python-django', 'ruby-rails', 'procfile']) {
    const cwd = await copyOf(project);
    await cli(['init'], { cwd });
    const path = join(cwd, 'zdd.yaml');
    await writeFile(path, (await readFile(path, 'utf8')).replace(/^# release:/m, 'release:'));
    const { code, stdout } = await cli(['config', 'check'], { cwd });
    expect({ project, code, stdout }).toMatchObject({ code: 0 });
    expect(stdout).toContain('  release ');
  }
});

test('broken or hostile manifests are no reason to fail, and cannot break the file', async () => {
  const cwd = await copyOf('node-express');
  await writeFile(join(cwd, 'package.json'), '{"scripts": {"start": 7}, "dependencies": []');
  await writeFile(join(cwd, 'pyproject.toml'), '[project]\nname = "\u0000\n');
  expect((await cli(['init', '--dry-run'], { cwd })).code).toBe(2);
  const script = `node "a: b # c' --x=$\{Y:-{}} server.js`;
  await writeFile(
    join(cwd, 'package.json'),
    JSON.stringify({ name: 'a: b\n# c', scripts: { start: script }, dependencies: { koa: '1' } }),
  );
  await cli(['init'], { cwd });
  const { code, stdout } = await cli(['config', 'check', '--json'], { cwd });
  expect(code).toBe(0);
  expect(JSON.parse(stdout)).toMatchObject({ config: { app: 'a-b-c' } });
});
