import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { InstanceSpec } from '../../../agent/runner/runner.ts';
import {
  onceScript,
  quote,
  startScript,
  stoppedScript,
} from '../../../agent/runner/systemd/slot-scripts.ts';

const AROUND = { path: '/usr/bin:/bin', home: '/var/lib/zdd-agent/homes/shop', lang: 'C.UTF-8' };
const NASTY = 'a\'b"c $HOME `id` \\ %i * ; & |\nsecond line\n';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'zdd-script-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

function spec(more: Partial<InstanceSpec> & Pick<InstanceSpec, 'command'>): InstanceSpec {
  return {
    slot: 'shop.r42-d57-web-1',
    app: 'shop',
    release: 'r42-ab12cd3',
    process: 'web',
    cwd: folder,
    env: {},
    listen: { kind: 'none' },
    ...more,
  };
}

/** Runs a script as systemd does: with sh, and nothing of ours in its environment. */
function run(
  script: string,
  env: Record<string, string> = {},
): { code: number | null; out: string } {
  const path = join(folder, 'script');
  writeFileSync(path, script);
  const { status, stdout, stderr } = spawnSync('/bin/sh', [path], { env, encoding: 'utf8' });
  return { code: status, out: stdout + stderr };
}

describe('the start script', () => {
  test('of an instance on a socket', () => {
    const script = startScript(
      spec({
        command: 'node server.js',
        cwd: '/var/lib/zdd-agent/apps/shop/releases/r42-ab12cd3',
        env: { ZDD_APP: 'shop', SECRET: "it's" },
        listen: { kind: 'unix', path: '/run/zdd-agent/apps/shop/a.sock', activation: false },
        limits: { nofile: 4096, memory: 1 },
      }),
      AROUND,
    );
    expect(script).toBe(
      [
        '# Written by zdd-agent for one slot; see docs/instances.md.',
        'ulimit -n 4096 || exit 78',
        "/bin/rm -f -- '/run/zdd-agent/apps/shop/a.sock'",
        "cd -- '/var/lib/zdd-agent/apps/shop/releases/r42-ab12cd3' || exit 200",
        "export PATH='/usr/bin:/bin'",
        "export HOME='/var/lib/zdd-agent/homes/shop'",
        "export LANG='C.UTF-8'",
        "export ZDD_APP='shop'",
        "export SECRET='it'\\''s'",
        "export ZDD_SLOT='shop.r42-d57-web-1'",
        "export ZDD_SOCKET='/run/zdd-agent/apps/shop/a.sock'",
        "export SOCKET='/run/zdd-agent/apps/shop/a.sock'",
        'exec node server.js',
        '',
      ].join('\n'),
    );
  });

  test('gives every value as it is, and runs arguments that no shell sees', () => {
    const command = ['printf', '%s|', '$VALUE', NASTY];
    expect(run(startScript(spec({ command }), AROUND)).out).toBe(`$VALUE|${NASTY}|`);
    const shown = startScript(spec({ command: 'printenv VALUE', env: { VALUE: NASTY } }), AROUND);
    expect(run(shown).out).toBe(`${NASTY}\n`);
  });

  test('lets a line be a line: variables, assignments, several commands', () => {
    const of = (command: string) =>
      run(startScript(spec({ command, env: { WORD: 'given' } }), AROUND)).out;
    expect(of('echo "$WORD" *.none')).toBe('given *.none\n');
    expect(of('EXTRA=1 sh -c \'echo "$EXTRA$WORD"\'')).toBe('1given\n');
    expect(of('echo a; echo "b\'c" && echo d | cat')).toBe("a\nb'c\nd\n");
  });

  test('becomes the command: the pid is that of the app', () => {
    const script = startScript(spec({ command: 'sh -c \'echo "$PPID"\'' }), AROUND);
    expect(run(script).out).toBe(`${process.pid}\n`);
  });

  test('says where to listen, and with activation leaves that word to systemd', () => {
    const port = { kind: 'tcp', port: 20_001, activation: false } as const;
    const env = run(startScript(spec({ command: 'env', listen: port }), AROUND)).out;
    expect(env).toContain('PORT=20001\n');
    expect(env).toContain('HOST=127.0.0.1\n');
    const listen = { kind: 'unix', path: join(folder, 's'), activation: true } as const;
    writeFileSync(join(folder, 's'), '');
    const activated = startScript(spec({ command: 'env', listen }), AROUND);
    expect(run(activated).out).not.toContain('SOCKET');
    expect(existsSync(join(folder, 's'))).toBe(true);
  });

  test('removes a stale socket, sets the limit of open files, names what is missing', () => {
    const listen = { kind: 'unix', path: join(folder, 's'), activation: false } as const;
    writeFileSync(join(folder, 's'), '');
    const limited = spec({ command: 'sh -c "ulimit -n"', listen, limits: { nofile: 123 } });
    expect(run(startScript(limited, AROUND)).out).toBe('123\n');
    expect(existsSync(join(folder, 's'))).toBe(false);
    expect(run(startScript(spec({ command: 'no-such-command' }), AROUND)).code).toBe(127);
    expect(run(startScript(spec({ command: 'true', cwd: '/no/folder' }), AROUND)).code).toBe(200);
  });

  test('of a command that runs once has its variables and no place to listen', () => {
    const env = { DATABASE_URL: NASTY };
    const script = onceScript({ command: 'printenv DATABASE_URL', cwd: folder, env }, AROUND);
    expect(run(script).out).toBe(`${NASTY}\n`);
  });

  test('refuses what no shell can hold', () => {
    expect(() => quote('a\0b')).toThrow(RangeError);
  });
});

describe('the stopped script', () => {
  const listen = (path: string) => ({ kind: 'unix', path, activation: false }) as const;

  test('leaves one notice that tells how the instance ended, and removes its socket', () => {
    const socket = join(folder, 's');
    writeFileSync(socket, '');
    const env = { SERVICE_RESULT: 'exit-code', EXIT_CODE: 'exited', EXIT_STATUS: '3' };
    const { code, out } = run(stoppedScript({ listen: listen(socket) }), env);
    expect({ code, out }).toEqual({ code: 0, out: '<5>zdd-agent: ended: exited 3 exit-code\n' });
    expect(existsSync(socket)).toBe(false);
  });

  test('keeps the listener that systemd holds', () => {
    const socket = join(folder, 's');
    writeFileSync(socket, '');
    run(stoppedScript({ listen: { ...listen(socket), activation: true } }));
    expect(existsSync(socket)).toBe(true);
  });
});
