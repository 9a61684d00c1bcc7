import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { listeningPorts } from '../../agent/haproxy/tables.ts';

const BINDABLE = fileURLToPath(new URL('../../agent/haproxy/bindable.ts', import.meta.url));

let listener: ReturnType<typeof createServer> | undefined;
afterEach(async () => {
  await new Promise((resolve) =>
    listener === undefined ? resolve(null) : listener.close(resolve),
  );
  listener = undefined;
});

async function listen(host: string, port: number): Promise<void> {
  const server = createServer();
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject);
    server.listen({ host, port }, resolve);
  });
  listener = server;
}

/** Asks as a user who may take no port below 1024. Resolves with the error's message, or `''`. */
function askAsNobody(bind: string, own: readonly number[] = []): Promise<string> {
  const script = `
    const { requireBindable } = await import(${JSON.stringify(BINDABLE)});
    await requireBindable(${JSON.stringify(`  bind ${bind}\n`)}, async () => new Set(${JSON.stringify(own)}))
      .catch((error) => process.stdout.write(error.message));`;
  const args = ['--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all'];
  return new Promise((resolve, reject) => {
    execFile(
      'setpriv',
      [...args, process.execPath, '--input-type=module', '-e', script],
      { cwd: '/' },
      (error, stdout) => (error === null ? resolve(stdout) : reject(error)),
    );
  });
}

const privileged = Number(
  await readFile('/proc/sys/net/ipv4/ip_unprivileged_port_start', 'utf8').catch(() => '0'),
);

// Needs root to listen there, and a kernel that keeps low ports for root.
describe.runIf(process.getuid?.() === 0 && privileged > 914)(
  'a port that only root may take, asked for by an ordinary user',
  () => {
    it('may be bound when nobody listens there', async () => {
      expect(await askAsNobody('*:913')).toBe('');
    });

    for (const [host, bind] of [
      ['127.0.0.1', '127.0.0.1:913'],
      ['127.0.0.1', ':913'],
      ['0.0.0.0', '127.0.0.1:913'],
      ['::', '*:913'],
      ['::1', '[::1]:913'],
    ] as const) {
      it(`may not be bound as ${bind} when another program listens on ${host}`, async () => {
        await listen(host, 913);
        expect(await askAsNobody(bind)).toContain('Another program listens');
      });
    }

    it('may be bound when the other listens on another address', async () => {
      await listen('127.0.0.2', 913);
      expect(await askAsNobody('127.0.0.1:913')).toBe('');
    });

    it('may be bound when it is HAProxy that listens there', async () => {
      await listen('127.0.0.1', 913);
      expect(await askAsNobody('127.0.0.1:913', [913])).toBe('');
    });
  },
);

describe('the ports of a running worker', () => {
  it('are read from show fd, of listeners only', () => {
    const answer = [
      '  7 : st=0x120121(Cl heopI W:sRa R:srA) iocb=0x1(sock_accept_iocb) l.st=RDY fe=GLOBAL fam=unix',
      '  8 : st=0x120023(Cl heopi W:sRa R:sRA) iocb=0x1(sock_accept_iocb) l.st=RDY fe=www fam=ipv4 lport=80',
      ' 11 : st=0x120023(Cl heopi W:sRa R:sRA) gen=0 tkov=0 iocb=0x1(x+0) l.st=RDY fe=w fam=ipv6 lport=443',
      ' 16 : st=0x000021(cl heopi W:sRa R:srA) iocb=0x2(sock_conn_iocb) back=0 fam=ipv4 lport=8080 fe=www',
    ].join('\n');
    expect([...listeningPorts(answer)]).toEqual([80, 443]);
  });
});
