import { execFile } from 'node:child_process';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { replaceRegion } from '../../agent/haproxy/config/region.ts';
import { renderRegion } from '../../agent/haproxy/config/render.ts';

const FILE = fileURLToPath(new URL('../../agent/haproxy/config/draft.ts', import.meta.url));
const NOBODY = 65534;

let folder: string;
let config: string;
let own: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'zdd-unprivileged-'));
  await chmod(folder, 0o755);
  config = join(folder, 'haproxy.cfg');
  own = join(folder, 'zdd');
  await mkdir(own, { mode: 0o2750 });
  await chown(own, NOBODY, NOBODY);
  await chmod(own, 0o2750);
  await symlink('zdd/haproxy.cfg', config);
});
afterEach(async () => {
  await rm(folder, { recursive: true });
});

const region = renderRegion(
  { apps: [] },
  { bind: ['127.0.0.1:8080'], chroot: undefined, mapFolder: '/' },
).text;
const admin = (more = ''): string =>
  `defaults\n  mode http\n  timeout client 1s\n  timeout server 1s\n  timeout connect 1s\n${more}`;

/** `writeConfig` as an ordinary user. Resolves with the error's code and message, or `''`. */
function write(text: string): Promise<string> {
  const script = `
    const { writeConfig } = await import(${JSON.stringify(FILE)});
    await writeConfig(${JSON.stringify(config)}, ${JSON.stringify(text)}, 'haproxy', AbortSignal.timeout(20_000))
      .catch((error) => process.stdout.write(error.code + ' ' + error.message));`;
  const user = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--inh-caps=-all'];
  return new Promise((resolve, reject) => {
    execFile(
      'setpriv',
      [...user, process.execPath, '--input-type=module', '-e', script],
      { cwd: '/' },
      (error, stdout) => (error === null ? resolve(stdout) : reject(error)),
    );
  });
}

// Needs root to become somebody who is not.
describe.runIf(process.getuid?.() === 0)('haproxy.cfg in the hands of an ordinary user', () => {
  it('is made where its link leads, though nothing is there yet', async () => {
    expect(await write(replaceRegion(admin(), region))).toBe('');
    expect(await readFile(join(own, 'haproxy.cfg'), 'utf8')).toContain('managed region');
  });

  it('is replaced after root has edited it: the mode stays, the owner is whoever wrote it', async () => {
    const target = join(own, 'haproxy.cfg');
    await writeFile(target, admin());
    await chmod(target, 0o644);
    expect(await write(replaceRegion(admin(), region))).toBe('');
    const { uid, mode } = await stat(target);
    expect([uid, mode & 0o777]).toEqual([NOBODY, 0o644]);
    expect(await readFile(`${target}.previous`, 'utf8')).toBe(admin());
    expect((await readdir(own)).sort()).toEqual(['haproxy.cfg', 'haproxy.cfg.previous']);
  });

  it('may name files that only root reads, as private keys are', async () => {
    const secret = join(folder, 'secret.http');
    await writeFile(secret, 'HTTP/1.0 503 Gone\r\n\r\n', { mode: 0o600 });
    const mine = admin(`  errorfile 503 ${secret}\n`);
    expect(await write(replaceRegion(mine, region))).toBe('');
  });

  it('is still checked then, as far as it is the agent that wrote it', async () => {
    const secret = join(folder, 'secret.http');
    await writeFile(secret, 'HTTP/1.0 503 Gone\r\n\r\n', { mode: 0o600 });
    const mine = admin(`  errorfile 503 ${secret}\n`);
    const wrong = region.replace('default_backend zdd-nobody', 'default_backend nowhere');
    expect(await write(replaceRegion(mine, wrong))).toMatch(/^ZDD_HAPROXY_CONFIG_INVALID /);
    const both = replaceRegion(`${mine}  nonsense\n`, region);
    expect(await write(both)).toMatch(/ZDD_HAPROXY_CONFIG_INVALID .*outside the managed region/);
    expect(await readdir(own)).toEqual([]);
  });

  it('says which folder it may not write', async () => {
    await chown(own, 0, 0);
    await chmod(own, 0o755);
    expect(await write(replaceRegion(admin(), region))).toBe(
      `ZDD_HAPROXY_CONFIG_INVALID ${own} may not be written by the agent.`,
    );
  });

  it('says so when it may not be read', async () => {
    await writeFile(join(own, 'haproxy.cfg'), admin(), { mode: 0o600 });
    expect(await write(replaceRegion(admin(), region))).toMatch(/may not be read by the agent\.$/);
  });
});
