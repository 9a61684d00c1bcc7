import { execFileSync } from 'node:child_process';
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { runCheck } from '../../agent/haproxy/config/check-shell.ts';
import { soon, until } from './harness.ts';

const GOOD = 'frontend f\n  mode http\n  timeout client 1s\n  bind 127.0.0.1:1\n';

/** Shells of ours that wait or work in this process. */
function shells(): number[] {
  const listed = execFileSync('ps', ['-o', 'pid=,args=', '--ppid', String(process.pid)], {
    encoding: 'utf8',
  });
  return listed
    .split('\n')
    .filter((line) => line.includes('IFS= read -r file'))
    .map((line) => Number.parseInt(line, 10));
}

describe('the shell that runs haproxy -c', () => {
  let folder: string;
  let good: string;
  let bad: string;

  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'zdd-check-'));
    good = join(folder, "it's $(good).cfg");
    bad = join(folder, 'bad.cfg');
    await writeFile(good, GOOD);
    await writeFile(bad, `${GOOD}  nonsense\n`);
  });

  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('says of each file what HAProxy said of it, and is used again', async () => {
    expect(await runCheck('haproxy', good, soon())).toMatchObject({ code: 0 });
    const [first] = shells();
    const verdict = await runCheck('haproxy', bad, soon());
    expect(verdict.code).toBe(1);
    expect(verdict.output).toMatch(/\[ALERT\].*bad\.cfg:5\].*nonsense/);
    expect(await runCheck('haproxy', good, soon())).toMatchObject({ code: 0 });
    expect(shells()).toEqual([first]);
  });

  it('keeps checks apart that run at once', async () => {
    const files = [good, bad, bad, good, bad, good];
    const verdicts = await Promise.all(files.map((file) => runCheck('haproxy', file, soon())));
    expect(verdicts.map(({ code }) => code)).toEqual([0, 1, 1, 0, 1, 0]);
    await until('one shell is left', () => shells().length === 1);
  });

  it('that was killed while it waited is missed by nobody', async () => {
    await runCheck('haproxy', good, soon());
    for (const pid of shells()) process.kill(pid, 'SIGKILL');
    // Whether its end has been heard of by now or not.
    expect(await runCheck('haproxy', bad, soon())).toMatchObject({ code: 1 });
    expect(await runCheck('haproxy', good, soon())).toMatchObject({ code: 0 });
  });

  it('ends with what it runs when that is given up', async () => {
    const slow = join(folder, 'slow');
    const pidFile = join(folder, 'pid');
    await writeFile(
      slow,
      `#!/bin/sh\necho $$ > ${pidFile}.new && mv ${pidFile}.new ${pidFile}\nexec sleep 600\n`,
    );
    await chmod(slow, 0o755);
    const given = new AbortController();
    const check = runCheck(slow, good, given.signal);
    const said = expect(check).rejects.toBe('enough');
    const pidOf = (): Promise<number> => readFile(pidFile, 'utf8').then(Number, () => 0);
    await until('it runs', async () => (await pidOf()) > 0);
    const pid = await pidOf();
    given.abort('enough');
    await said;
    await until('it has ended', () => !isAlive(pid));
    expect(await runCheck('haproxy', good, soon())).toMatchObject({ code: 0 });
  });

  it('is no verdict when the program is not there, or is ended by a signal', async () => {
    await expect(runCheck('no-such-haproxy', good, soon())).rejects.toThrow(/not found/);
    const dying = join(folder, 'dying');
    await writeFile(dying, '#!/bin/sh\nkill -9 $$\n');
    await chmod(dying, 0o755);
    await expect(runCheck(dying, good, soon())).rejects.toThrow();
  });
});

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}
