import { expect } from 'vitest';
import { stringify } from 'yaml';
import { event, type ZddEvent } from '../../../agent/protocol/events.ts';
import type { CommandResult, VpsHost } from './host.ts';

/**
 * What one instance does: says who it is and what it may use, ends as it is told, eats memory, starts
 * slowly, crashes at its start while a file says so.
 */
const SERVER = `
const { execFileSync, spawn } = require('node:child_process');
const { existsSync } = require('node:fs');
const { createServer } = require('node:http');
const release = process.env.ZDD_RELEASE;
const number = release.split('-')[0];
if (existsSync('state/crash-' + number)) {
  console.log('crashing as told');
  process.exit(9);
}
const kept = [];
const server = createServer((request, response) => {
  const url = new URL(request.url, 'http://tiny');
  switch (url.pathname) {
    case '/eat':
      for (;;) kept.push(Buffer.alloc(4 << 20, 1));
    case '/exit':
      process.exit(Number(url.searchParams.get('code')));
    case '/tasks': {
      // Until no more can be had: told by an error, at once or as an event.
      const children = [];
      const more = () => {
        if (children.length === 200) return response.end('unlimited');
        const child = spawn('sleep', ['30'], { stdio: 'ignore' });
        children.push(child);
        child.once('spawn', more);
        child.once('error', (error) => {
          response.end(error.code);
          for (const { pid } of children) if (pid) process.kill(pid);
        });
      };
      return more();
    }
    case '/self':
      return response.end(JSON.stringify({
        nofile: execFileSync('sh', ['-c', 'ulimit -n'], { encoding: 'utf8' }).trim(),
        user: execFileSync('id', ['-un'], { encoding: 'utf8' }).trim(),
        home: process.env.HOME,
        socket: process.env.SOCKET ?? null,
        fds: process.env.LISTEN_FDS ?? null,
      }));
    default:
      response.setHeader('x-release', release);
      return response.end(JSON.stringify({ release, pid: process.pid }));
  }
});
const listen = () => server.listen(process.env.SOCKET ?? { fd: 3 }, () => console.log(number + ' listens'));
if (process.env.SLOW) setTimeout(listen, Number(process.env.SLOW));
else listen();
process.on('SIGTERM', () => {
  console.log('asked to end');
  if (!process.env.STUBBORN) process.exit(0);
});
`;

/** Values of zdd.yaml on top of the app's own. */
type Config = Readonly<Record<string, unknown>>;

/** An app of one file, for what happens to instances; pushed by a user of the group `zdd`. */
export class Tiny {
  readonly #host: VpsHost;

  constructor(host: VpsHost) {
    this.#host = host;
  }

  /** Its folder for what is kept across releases. */
  get state(): string {
    return '/var/lib/zdd-agent/apps/tiny/shared/state';
  }

  /** Pushes a release; each is another one, by its marker. */
  async push(marker: string, config: Config = {}, web: Config = {}): Promise<CommandResult> {
    const folder = `/home/deploy/${marker}`;
    const text = stringify({
      app: 'tiny',
      bake: '200ms',
      warm: '0s',
      shared: ['state/'],
      processes: { web: { run: 'node server.js', ...web } },
      ...config,
    });
    await this.#host.must(`install -d -o deploy ${folder}`);
    await this.#host.write(`${folder}/server.js`, SERVER);
    await this.#host.write(`${folder}/zdd.yaml`, text);
    await this.#host.write(`${folder}/marker`, marker);
    return await this.#host.as('deploy', `zdd-agent push ${folder}`);
  }

  /** Pushes and expects success. */
  async deploy(marker: string, config: Config = {}, web: Config = {}): Promise<void> {
    const { code, stdout, stderr } = await this.push(marker, config, web);
    expect(code, stdout + stderr).toBe(0);
  }

  /** What the live release answers through HAProxy; empty when nobody does. */
  async ask(path = '/'): Promise<string> {
    return (await this.#host.run(`curl -s -m 10 'http://localhost${path}'`)).stdout;
  }

  /** Waits until this release serves. */
  async serves(number: string): Promise<void> {
    await this.#host.until(`${number} to serve`, 20_000, async () =>
      (await this.ask()).includes(`"release":"${number}-`),
    );
  }

  /** The unit of the first web instance of deployment `n`, which made release `n`. */
  unit(n: number): string {
    return `zdd-app-tiny@r${n}-d${n}-web-1.service`;
  }

  async property(unit: string, name: string): Promise<string> {
    return (await this.#host.must(`systemctl show -P ${name} '${unit}'`)).trim();
  }

  /** Ends of instances that were told of, as `reason`. */
  async exits(since = 0): Promise<readonly Extract<ZddEvent, { type: 'instance_exited' }>[]> {
    return (await this.events(since)).filter((told) => told.type === 'instance_exited');
  }

  async events(since = 0): Promise<readonly ZddEvent[]> {
    const { code, stdout } = await this.#host.run(`zdd-agent events --json --since ${since}`);
    if (code !== 0) return [];
    return stdout
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => event.parse(JSON.parse(line)));
  }

  async lastEvent(): Promise<number> {
    return (await this.events()).at(-1)?.seq ?? 0;
  }

  /** Waits until something was told of. */
  async told(what: string, since: number, is: (told: ZddEvent) => boolean): Promise<void> {
    await this.#host.until(`to be told: ${what}`, 30_000, async () =>
      (await this.events(since)).some(is),
    );
  }

  /** Units of the app that run, by the names of their slots. */
  async running(): Promise<readonly string[]> {
    const text = await this.#host.must(
      "systemctl list-units --plain --no-legend 'zdd-app-tiny@*' 'zdd-once-tiny@*' | cut -d' ' -f1",
    );
    return text.split('\n').filter((line) => line !== '');
  }
}
