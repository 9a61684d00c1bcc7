import { z } from 'zod';
import type { CommandResult, VpsHost } from './host.ts';

/** The agent's user with the groups that its unit gives it. */
export const AS_ZDD =
  'setpriv --reuid=zdd --regid=zdd --groups=haproxy,systemd-journal,zdd-agent --no-new-privs';

/** Runs each text that it is sent as a shell line, and answers how that ended. */
const SERVER = `
import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
createServer(async (request, response) => {
  let line = '';
  for await (const part of request) line += part;
  execFile('/bin/sh', ['-c', line], (error, stdout, stderr) => {
    response.end(JSON.stringify({ code: error ? Number(error.code) || 1 : 0, stdout, stderr }));
  });
}).listen(process.env.SOCKET ?? { fd: 3 });
`;

const reply = z.object({ code: z.number(), stdout: z.string(), stderr: z.string() });

/**
 * An app as the agent makes it, without the agent: so the tests of who may do what try the files of
 * the host and nothing else. Its one instance runs any shell line as the app, in its sandbox.
 */
export class HandmadeApp {
  readonly #host: VpsHost;
  readonly name: string;

  constructor(host: VpsHost, name: string) {
    this.#host = host;
    this.name = name;
  }

  get folder(): string {
    return `/var/lib/zdd-agent/apps/${this.name}`;
  }

  get socket(): string {
    return `/run/zdd-agent/apps/${this.name}/main.sock`;
  }

  get unit(): string {
    return `zdd-app-${this.name}@main.service`;
  }

  /** Writes the request as the agent would. */
  async request(lines: string): Promise<void> {
    const file = `/var/lib/zdd-agent/provision/${this.name}`;
    await this.#host.must(`${AS_ZDD} sh -c 'rm -rf ${file}; cat >${file}'`, { input: lines });
  }

  /** The root step, asked for by the agent's user. */
  async provision(): Promise<CommandResult> {
    return await this.#host.run(`${AS_ZDD} systemctl start zdd-provision@${this.name}.service`);
  }

  /** Everything up to the running instance. `allow`: what its sandbox shall not forbid. */
  async start(allow = ''): Promise<void> {
    await this.request(`stop_timeout=15\nallow=${allow}\n`);
    const { code, stderr } = await this.provision();
    if (code !== 0) throw new Error(`${this.name} is not provisioned: ${stderr}`);
    const script = [
      `export SOCKET=${this.socket} SECRET=of-${this.name}`,
      `rm -f ${this.socket}`,
      `exec /usr/bin/node ${this.folder}/releases/r1/server.mjs`,
    ].join('\n');
    await this.#host.must(
      `${AS_ZDD} sh -ec 'umask 007; cd ${this.folder}; mkdir -p releases/r1 shared slots/main
        cat >releases/r1/server.mjs; chmod -R g-w releases; echo of-${this.name} >shared/secret
        echo "${script}" >slots/main/start; chmod 750 slots/main/start
        systemctl restart ${this.unit}'`,
      { input: SERVER },
    );
    await this.#host.until(`${this.name} to answer`, 10_000, async () => {
      const { stdout } = await this.run('echo $SECRET');
      return stdout === `of-${this.name}\n`;
    });
  }

  /** Runs a shell line in the instance. */
  async run(line: string): Promise<CommandResult> {
    const answer = await this.#host.must(
      `curl -s --max-time 20 --data-binary @- --unix-socket ${this.socket} http://app/`,
      { input: line },
    );
    return reply.parse(JSON.parse(answer));
  }

  /** Runs a shell line as the app's user, outside of the sandbox: what file modes alone refuse. */
  async runUnconfined(line: string): Promise<CommandResult> {
    const user = `zdd-app-${this.name}`;
    return await this.#host.run(
      `setpriv --reuid=${user} --regid=${user} --clear-groups --no-new-privs sh`,
      { input: line },
    );
  }

  async pid(): Promise<string> {
    return (await this.#host.must(`systemctl show -P MainPID ${this.unit}`)).trim();
  }
}
