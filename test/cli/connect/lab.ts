import { join } from 'node:path';
import { type Ran, temporaryFolder } from '../run-cli.ts';
import { replies, type StandIn, standIn } from '../stand-in.ts';
import { type Laptop, laptop, makeKey, type Sshd, type SshdOptions, startSshd } from './sshd.ts';

/** A laptop, an agent that knows no app, and as many sshds between them as a test starts. */
export interface Lab {
  readonly path: string;
  readonly me: Laptop;
  readonly agent: StandIn;
  /** An sshd whose key is known and that lets `~/.ssh/id_ed25519` in. */
  sshd(options?: SshdOptions & { name?: string; keys?: readonly string[] }): Promise<Sshd>;
  status(host: Sshd, ...more: string[]): Promise<Ran>;
  remove(): Promise<void>;
}

export const EMPTY = { schemaVersion: 1, agent: '0.1.0', apps: [], attention: [] };

export async function openLab(): Promise<Lab> {
  const folder = await temporaryFolder();
  const me = await laptop(folder.path);
  const agent = await standIn(join(folder.path, 'agent.sock'));
  agent.on('GET /v1/status', replies(EMPTY));
  const started: Sshd[] = [];
  const knownHosts: string[] = [];
  const own = await makeKey(me.at('id_ed25519'));
  return {
    path: folder.path,
    me,
    agent,
    async sshd({ name = 'sshd', keys = [own], ...options } = {}) {
      const host = await startSshd(join(folder.path, name), options);
      started.push(host);
      for (const key of keys) await host.allow(key);
      for (const key of host.publicKeys.values()) knownHosts.push(`${host.known} ${key}\n`);
      await me.write('known_hosts', knownHosts.join(''));
      return host;
    },
    status: (host, ...more) =>
      me.run(['status', '--host', host.destination, '--socket', agent.socket, ...more]),
    async remove() {
      for (const host of started) await host.stop();
      await agent.close();
      await folder.remove();
    },
  };
}
