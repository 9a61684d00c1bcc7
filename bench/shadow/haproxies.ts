import { readdir, readFile, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { join } from 'node:path';
import { replaceRegion } from '../../agent/haproxy/config/region.ts';
import { renderRegion } from '../../agent/haproxy/config/render.ts';
import { writeMaps } from '../../agent/haproxy/config-file.ts';
import { readRoute } from '../../agent/protocol/routes.ts';
import { type Stage, untilAnswers } from '../switch/stage.ts';

/** How requests come to the agent. `none`: not at all. */
export type Way = 'none' | 'ring' | 'spoe';

/** How long HAProxy waits for an agent of SPOE, ms: the tightest of the usual. */
const PROCESSING_MS = 5;

/** Where the apps answer, which cost next to nothing: live, and the candidate. */
export async function startApps(stage: Stage, folder: string): Promise<void> {
  const listen = (name: string): string => `frontend ${name}
  mode http
  timeout client 60s
  timeout http-keep-alive 60s
  bind unix@${join(folder, `${name}.sock`)}
  http-request return status 200 content-type text/plain string ok
`;
  const path = join(folder, 'apps.cfg');
  await writeFile(path, ['live', 'candidate'].map(listen).join('\n'));
  stage.run('haproxy', ['-db', '-f', path]);
}

/** A HAProxy with the region as the agent renders it, which serves `shop` on `port`. */
export async function startLive(
  stage: Stage,
  folder: string,
  port: number,
  way: Way,
  share: number,
): Promise<void> {
  const server = {
    name: 'r1',
    address: { kind: 'unix' as const, path: join(folder, 'live.sock') },
    weight: 100,
    state: 'ready' as const,
  };
  const app = { app: 'shop', routes: [readRoute('*')], check: null, servers: [server] };
  const shadow = way === 'ring' ? { shadow: { headers: [], bodies: [] } } : {};
  const { text, maps } = renderRegion(
    { apps: [{ ...app, ...shadow }] },
    { bind: [`127.0.0.1:${port}`], chroot: undefined, mapFolder: folder },
  );
  const path = join(folder, 'haproxy.cfg');
  const own = `global
  stats socket ${join(folder, 'admin.sock')} mode 600 level admin
`;
  const filter = `  filter spoe engine zdd config ${join(folder, 'spoe.conf')}\n`;
  const region =
    way === 'spoe' ? text.replace('backend zdd_shop\n  mode http\n', `$&${filter}`) : text;
  await writeFile(path, replaceRegion(way === 'spoe' ? own + spopBackend(folder) : own, region));
  if (maps !== undefined) await writeMaps(path, maps);
  if (way === 'spoe') await writeFile(join(folder, 'spoe.conf'), spoeConfig(share));
  stage.run('haproxy', ['-W', '-S', join(folder, 'master.sock'), '-f', path]);
  await untilAnswers(`http://127.0.0.1:${port}/`, stage.signal);
}

/** A dead agent is out at its next check; the check runs while it is alive. */
function spopBackend(folder: string): string {
  return `backend spop
  mode tcp
  timeout connect 100ms
  timeout server 60s
  timeout check 200ms
  option spop-check
  server agent unix@${join(folder, 'spop.sock')} check inter 500ms fall 1 rise 1
`;
}

function spoeConfig(share: number): string {
  return `[zdd]
spoe-agent zdd
  messages copy
  option async
  option pipelining
  option set-on-error err
  option dontlog-normal
  no option send-frag-payload
  timeout hello 100ms
  timeout idle 60s
  timeout processing ${PROCESSING_MS}ms
  use-backend spop
spoe-message copy
  args method=method path=pathq host=req.hdr(host) agent=req.hdr(user-agent) accept=req.hdr(accept)
  event on-backend-http-request if { rand(10000) lt ${Math.round(share * 10_000)} }
`;
}

/** One command on the admin socket. */
export async function ask(folder: string, command: string): Promise<string> {
  const socket = connect(join(folder, 'admin.sock'));
  socket.end(`${command}\n`);
  let answer = '';
  for await (const chunk of socket) answer += String(chunk);
  return answer;
}

/** Processor time of the worker so far, all its threads, ms. */
export async function processorMs(folder: string): Promise<number> {
  const pid = /^Pid: (\d+)/m.exec(await ask(folder, 'show info'))?.[1] ?? '';
  const tasks = await readdir(`/proc/${pid}/task`);
  // Nanoseconds on a processor come first.
  const times = await Promise.all(
    tasks.map((task) => readFile(`/proc/${pid}/task/${task}/schedstat`, 'utf8')),
  );
  return times.reduce((sum, text) => sum + Number(text.split(' ')[0]) / 1e6, 0);
}
