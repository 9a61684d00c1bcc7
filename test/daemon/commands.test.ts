import { execFile } from 'node:child_process';
import { mkdtemp, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DatabaseSync } from 'node:sqlite';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { stringify } from 'yaml';
import { openDatabase } from '../../agent/store/database.ts';

const AGENTD = fileURLToPath(new URL('../../bin/zdd-agentd', import.meta.url));

let folder: string;
let state: string;
let config: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'zdd-agentd-'));
  state = join(folder, 'state');
  config = join(folder, 'agent.yaml');
  await writeFile(
    config,
    stringify({ state_dir: folder, run_dir: folder, haproxy: { bind: ['127.0.0.1:81'] } }),
  );
});
afterAll(async () => {
  await rm(folder, { recursive: true });
});

function agentd(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(AGENTD, args, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : 0, stdout, stderr });
    });
  });
}

describe('zdd-agentd check', () => {
  it('says that there is no database yet, and makes none', async () => {
    const { code, stdout } = await agentd('check', '--config', config);
    expect(code).toBe(0);
    expect(stdout).toBe(
      `${config}: right\n${folder}/agent.db: none yet; the first start makes it\n`,
    );
    expect(await readdir(folder)).toEqual(['agent.yaml']);
  });

  it('says that a database is as this version writes it, and changes nothing beside it', async () => {
    openDatabase(join(folder, 'agent.db')).close();
    const { code, stdout } = await agentd('check', '--config', config);
    expect(code).toBe(0);
    expect(stdout).toMatch(/agent\.db: schema \d+, as this version writes it\n$/);
    expect(await readdir(folder)).toEqual(['agent.db', 'agent.yaml']);
  });

  it('sees what a running agent has not yet moved from the log into the file', async () => {
    const open = openDatabase(join(folder, 'agent.db'));
    open.exec('PRAGMA user_version = 1000');
    const { code, stderr } = await agentd('check', '--config', config);
    expect(code).toBe(22);
    expect(stderr).toMatch(/agent\.db has schema 1000, this agent knows \d+ {2}ZDD_STORE_TOO_NEW/);
    open.close();
  });

  it('refuses the database of a newer agent, and says which version it is of', async () => {
    const { code, stderr } = await agentd('check', '--config', config);
    expect(`${code} ${stderr}`).toMatch(/^22 Error: .* has schema 1000/);
  });

  it('says what the next start would do to the database of an older agent', async () => {
    const database = new DatabaseSync(join(folder, 'agent.db'));
    database.exec('PRAGMA user_version = 0');
    database.close();
    const { code, stdout } = await agentd('check', '--config', config);
    expect(code).toBe(0);
    expect(stdout).toMatch(/schema 0; the next start brings it to \d+\n$/);
  });

  it('names every problem of the configuration with its line', async () => {
    await writeFile(join(folder, 'bad.yaml'), 'runner: docker\nlimits: { entries: 0 }\n');
    const { code, stderr } = await agentd('check', '--config', join(folder, 'bad.yaml'));
    expect(code).toBe(10);
    expect(stderr).toContain('bad.yaml:1:9  runner:');
    expect(stderr).toContain('bad.yaml:2:');
  });

  it.each([
    ['127.0.0.1:9187', 0, ''],
    ['localhost:9187', 0, ''],
    ['[::1]:9187', 0, ''],
    ['0.0.0.0:9187', 10, 'it needs a token_file'],
    ['[::]:9187', 10, 'it needs a token_file'],
    ['192.0.2.7:9187', 10, 'it needs a token_file'],
    ['9187', 10, 'expected an address and a port'],
  ])('metrics at %s without a token: exit code %i', async (listen, expected, why) => {
    const file = join(folder, 'metrics.yaml');
    await writeFile(file, stringify({ metrics: { listen } }));
    const { code, stderr } = await agentd('config', 'check', '--config', file);
    expect(code).toBe(expected);
    expect(stderr).toContain(why);
    await writeFile(file, stringify({ metrics: { listen: '0.0.0.0:9187', token_file: '/x' } }));
    expect((await agentd('config', 'check', '--config', file)).code).toBe(0);
  });
});

describe('zdd-agentd haproxy render', () => {
  it('adds the region without apps at the end, and writes nothing', async () => {
    const file = join(folder, 'haproxy.cfg');
    await writeFile(file, 'global\n  daemon');
    const { code, stdout } = await agentd('haproxy', 'render', '--file', file, '--config', config);
    expect(code).toBe(0);
    expect(stdout).toMatch(/^global\n {2}daemon\n\n# >>> zdd-agent: managed region/);
    expect(stdout).toContain('  bind 127.0.0.1:81\n');
    await writeFile(file, stdout);
    const again = await agentd('haproxy', 'render', '--file', file, '--config', config);
    expect(again.stdout).toBe(stdout);
  });

  it('needs a file', async () => {
    expect((await agentd('haproxy', 'render', '--config', config)).code).toBe(2);
    const missing = await agentd('haproxy', 'render', '--file', `${state}/x`, '--config', config);
    expect(`${missing.code} ${missing.stderr}`).toMatch(/^20 Error: there is no /);
  });
});

describe('zdd-agentd haproxy cuts', () => {
  it('names the frontends that a reload may cut clients of', async () => {
    const file = join(folder, 'theirs.cfg');
    await writeFile(file, 'frontend site\n  mode http\nlisten api\n  mode http\n');
    const { code, stdout } = await agentd('haproxy', 'cuts', '--file', file);
    expect(`${code} ${stdout}`).toBe('0 site\napi\n');
  });
});

describe('a wrong command line', () => {
  it('ends with 2 and says why', async () => {
    expect((await agentd('start')).code).toBe(2);
    const unknown = await agentd('--verbose');
    expect(unknown.code).toBe(2);
    expect(unknown.stderr).toContain("Unknown option '--verbose'");
  });
});
