import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { ensureInstalled } from './distribution.ts';
import { blueGreen, startInstances } from './instances.ts';
import { untilAnswers } from './stage.ts';
import type { RunningTool, Tool } from './tool.ts';

/** nginx: the upstream block is written anew, then `nginx -s reload`. */
export const nginx: Tool = {
  name: 'nginx -s reload',
  prepare: (stage) => ensureInstalled(stage, 'nginx'),

  async start(stage): Promise<RunningTool> {
    const folder = join(stage.folder, 'nginx');
    const port = await stage.freePort();
    let serving = await startInstances(stage, 'v1');
    await mkdir(join(folder, 'logs'), { recursive: true });
    await writeFile(join(folder, 'nginx.conf'), config(folder, port));
    await writeUpstream(folder, serving.ports);
    const args = ['-p', folder, '-c', 'nginx.conf', '-e', join(folder, 'error.log')];
    const master = stage.run('nginx', [...args, '-g', 'daemon off;']);
    const url = `http://127.0.0.1:${port}`;
    await untilAnswers(url, stage.signal);

    return {
      url,
      async switchTo(version) {
        const done = await blueGreen(stage, version, serving, async (ports) => {
          await writeUpstream(folder, ports);
          await stage.run('nginx', [...args, '-s', 'reload']).succeeded();
        });
        serving = done.serving;
        return done.switched;
      },
      async [Symbol.asyncDispose]() {
        await master.stop();
        await Promise.all(serving.programs.map((program) => program.stop()));
      },
    };
  },
};

function writeUpstream(folder: string, ports: readonly number[]): Promise<void> {
  const servers = ports.map((port) => `  server 127.0.0.1:${port};\n`).join('');
  return writeFile(
    join(folder, 'upstream.conf'),
    `upstream shop {\n${servers}  keepalive 32;\n}\n`,
  );
}

/** The documentation's reverse proxy with keep-alive to the upstream and WebSockets. */
function config(folder: string, port: number): string {
  const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi']
    .map((kind) => `  ${kind}_temp_path ${join(folder, kind)};`)
    .join('\n');
  return `worker_processes auto;
pid ${join(folder, 'nginx.pid')};
events { worker_connections 1024; }
http {
${temporary}
  access_log off;
  map $http_upgrade $connection_upgrade {
    default upgrade;
    ''      '';
  }
  include upstream.conf;
  server {
    listen 127.0.0.1:${port};
    location / {
      proxy_pass http://shop;
      proxy_http_version 1.1;
      proxy_set_header Host $host;
      proxy_set_header Upgrade $http_upgrade;
      proxy_set_header Connection $connection_upgrade;
    }
  }
}
`;
}
