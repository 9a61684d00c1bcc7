import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { BenchError } from '../bench.ts';
import { ensureInstalled } from './distribution.ts';
import { blueGreen, startInstances } from './instances.ts';
import { type Stage, untilAnswers } from './stage.ts';
import type { RunningTool, Tool } from './tool.ts';

const UPSTREAMS = '/config/apps/http/servers/shop/routes/0/handle/0/upstreams';

/** Caddy: the upstreams are replaced through its admin API. */
export const caddy: Tool = {
  name: 'caddy admin PATCH',
  prepare: (stage) => ensureInstalled(stage, 'caddy'),

  async start(stage): Promise<RunningTool> {
    const folder = join(stage.folder, 'caddy');
    const port = await stage.freePort();
    const admin = `127.0.0.1:${await stage.freePort()}`;
    let serving = await startInstances(stage, 'v1');
    await mkdir(folder, { recursive: true });
    await writeFile(join(folder, 'caddy.json'), config(admin, port, serving.ports));
    const server = stage.run('caddy', ['run', '--config', join(folder, 'caddy.json')], {
      env: { HOME: folder, XDG_DATA_HOME: folder, XDG_CONFIG_HOME: folder },
    });
    const url = `http://127.0.0.1:${port}`;
    await untilAnswers(url, stage.signal);

    return {
      url,
      async switchTo(version) {
        const done = await blueGreen(stage, version, serving, (ports) =>
          patchUpstreams(stage, admin, ports),
        );
        serving = done.serving;
        return done.switched;
      },
      async [Symbol.asyncDispose]() {
        await server.stop();
        await Promise.all(serving.programs.map((program) => program.stop()));
      },
    };
  },
};

async function patchUpstreams(
  stage: Stage,
  admin: string,
  ports: readonly number[],
): Promise<void> {
  const response = await fetch(`http://${admin}${UPSTREAMS}`, {
    method: 'PATCH',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify(upstreamsOf(ports)),
    signal: AbortSignal.any([stage.signal, AbortSignal.timeout(10_000)]),
  });
  if (!response.ok) throw new BenchError(`caddy refused the upstreams: ${await response.text()}`);
}

function upstreamsOf(ports: readonly number[]): ReadonlyArray<{ readonly dial: string }> {
  return ports.map((port) => ({ dial: `127.0.0.1:${port}` }));
}

/** What `reverse_proxy` of a Caddyfile becomes, nothing set beside it. */
function config(admin: string, port: number, ports: readonly number[]): string {
  return JSON.stringify({
    admin: { listen: admin, config: { persist: false } },
    logging: { logs: { default: { level: 'ERROR' } } },
    apps: {
      http: {
        servers: {
          shop: {
            listen: [`127.0.0.1:${port}`],
            automatic_https: { disable: true },
            routes: [{ handle: [{ handler: 'reverse_proxy', upstreams: upstreamsOf(ports) }] }],
          },
        },
      },
    },
  });
}
