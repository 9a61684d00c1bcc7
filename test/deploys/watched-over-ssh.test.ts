import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { receipt as receiptSchema } from '../../agent/protocol/events.ts';
import { PrivateHost } from '../../demo/private-host.ts';
import { type Laptop, laptop, makeKey, type Sshd, startSshd } from '../cli/connect/sshd.ts';
import { shop } from './shop.ts';

const CUTS = 20;
const PATIENCE_MS = 100_000;

let host: PrivateHost;
let sshd: Sshd;
let me: Laptop;

beforeAll(async () => {
  host = await PrivateHost.start();
  me = await laptop(join(host.dir, 'laptop'));
  sshd = await startSshd(join(host.dir, 'sshd'));
  await sshd.allow(await makeKey(me.at('id_ed25519')));
  const keys = [...sshd.publicKeys.values()];
  await me.write('known_hosts', keys.map((key) => `${sshd.known} ${key}\n`).join(''));
});
afterAll(async () => {
  await sshd.stop();
  await host.remove();
});

const overSsh = () => ['--host', sshd.destination, '--socket', host.socket];

test(
  'sshd killed 20 times while a deployment is watched: one deployment, its receipt, exit 0',
  async () => {
    const { path } = await shop(host, { behaviour: { version: 'v1' }, config: { bake: '10m' } });
    const push = me.start(['push', path, '--json', ...overSsh()], { deadlineMs: PATIENCE_MS });
    await push.says('phase_changed');
    for (let cut = 0; cut < CUTS; cut += 1) {
      // Whatever it is at: a handshake, the login, or a stream that goes on.
      await host.until('a connection to cut', 30_000, async () => (await sshd.cut()) > 0);
    }
    await host.until('it to bake', 30_000, async () => {
      return (await host.app('shop'))?.deployment?.phase === 'baking';
    });
    expect((await host.cli(['promote', '--app', 'shop', '--detach'])).code).toBe(0);
    const { code, stdout, stderr } = await push.ended();
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    const lines = stdout
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line));
    const receipt = receiptSchema.parse(lines.at(-1));
    expect(receipt).toMatchObject({ outcome: 'succeeded', lost: 0, deployment: 1 });
    // Every event once, as the journal has them, and no second deployment.
    const told = await host.events();
    expect(lines.slice(0, -1)).toEqual(
      told.filter(({ deployment, seq }) => deployment === 1 && seq <= endOf(lines)),
    );
    expect(told.filter(({ type }) => type === 'deployment_started')).toHaveLength(1);
  },
  PATIENCE_MS,
);

/** Number of the last event that was printed. */
function endOf(lines: readonly unknown[]): number {
  const last = lines.at(-2);
  return typeof last === 'object' && last !== null && 'seq' in last ? Number(last.seq) : 0;
}
