import { execFileSync } from 'node:child_process';
import { hash, randomBytes, randomInt } from 'node:crypto';
import { mkdir, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import type { ReleaseFile } from '../../../agent/protocol/manifest.ts';
import type { Agent } from '../../../cli/connect/agent.ts';
import { agentOver } from '../../../cli/connect/agent-over.ts';
import { sshConnection } from '../../../cli/connect/ssh/ssh-connection.ts';
import { type Load, lookAt } from '../../../cli/push/load.ts';
import { Ahead } from '../../../cli/push/pack/ahead.ts';
import { Outgoing } from '../../../cli/push/pack/outgoing.ts';
import { Spool } from '../../../cli/push/pack/spool.ts';
import { inOneUpload, sendPacked, uploadId } from '../../../cli/push/send/one-upload.ts';
import { type Sent, send } from '../../../cli/push/send/send.ts';
import { sendWhileLookedAt } from '../../../cli/push/send/send-ahead.ts';
import { ignoredBy } from '../../../cli/push/source/ignored.ts';
import { scanFolder } from '../../../cli/push/source/scan.ts';
import { folderTree } from '../../../cli/push/source/tree.ts';
import { openProgress } from '../../../cli/render/progress.ts';
import { openScreen } from '../../../cli/render/screen.ts';
import { PrivateHost } from '../../../demo/private-host.ts';
import { cli, temporaryFolder, until } from '../run-cli.ts';
import { openRelay, type Relay } from './relay.ts';
import { type Laptop, laptop, makeKey, type Sshd, startSshd, USER } from './sshd.ts';

const CUTS = 50;
/** What a key exchange and a login take at the most, bytes. */
const LOGIN = 6_000;
const APP = 'app: cut\nprocesses:\n  worker:\n    run: sleep 600\n    alive: 100ms\nbake: 0s\n';
const { signal } = new AbortController();

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let host: PrivateHost;
let sshd: Sshd;
let relay: Relay;
let me: Laptop;

beforeAll(async () => {
  folder = await temporaryFolder();
  host = await PrivateHost.start();
  sshd = await startSshd(join(folder.path, 'sshd'));
  relay = await openRelay(sshd.port);
  me = await laptop(folder.path);
  await sshd.allow(await makeKey(me.at('id_ed25519')));
  await know(relay.port);
  vi.stubEnv('HOME', me.home);
  vi.stubEnv('SSH_AUTH_SOCK', '');
});
afterAll(async () => {
  vi.unstubAllEnvs();
  await relay.close();
  await sshd.stop();
  await host.remove();
  await folder.remove();
});

async function know(...ports: number[]): Promise<void> {
  const keys = [...sshd.publicKeys.values()];
  const known = ports.flatMap((port) => keys.map((key) => `[127.0.0.1]:${port} ${key}\n`));
  await me.write('known_hosts', known.join(''));
}

async function withAgent<T>(port: number, work: (agent: Agent) => Promise<T>): Promise<T> {
  const destination = `${USER}@127.0.0.1:${port}`;
  const connection = sshConnection({ destination, socket: host.socket, acceptNew: false });
  const agent = agentOver(connection);
  try {
    return await work(agent);
  } finally {
    agent.close();
  }
}

const progress = openProgress(openScreen({ json: false, quiet: true, color: false }));
const artifacts = () => join(host.stateDir, 'artifacts');
const uploads = async () =>
  (await readdir(artifacts()).catch(() => [])).filter((name) => !/^[0-9a-f]{64}$/.test(name));

/** Bytes of each; one that has gone since has none. */
const sizes = async () =>
  await Promise.all(
    (await uploads()).map(async (name) => {
      const found = await stat(join(artifacts(), name)).catch(() => null);
      return found?.size ?? 0;
    }),
  );

/** A release with some files that do not compress, of which the agent has none. */
async function release(name: string, bytes: number): Promise<string> {
  const path = join(folder.path, name);
  await mkdir(path, { recursive: true });
  await writeFile(join(path, 'zdd.yaml'), APP);
  for (let n = 0; n < 4; n += 1) await writeFile(join(path, `part-${n}`), randomBytes(bytes / 4));
  return path;
}

function fileOf(path: string, bytes: number): ReleaseFile {
  return { type: 'file', path, executable: false, bytes, sha256: '0'.repeat(64) };
}

async function loadOf(path: string, kind: Load['kind']): Promise<Load> {
  if (kind === 'tree') {
    const entries = await scanFolder(path, ignoredBy(''), signal);
    return { kind, tree: folderTree(path, entries), summary: '' };
  }
  const archive = `${path}.tar`;
  execFileSync('tar', ['-cf', archive, '-C', path, '.']);
  const content = await readFile(archive);
  const sha256 = hash('sha256', content);
  return { kind, path: archive, bytes: content.length, sha256, summary: '' };
}

/** Sends a release in the way of this kind: a folder is one of which the agent knows nothing. */
async function sendAs(kind: Load['kind'] | 'folder', path: string, agent: Agent): Promise<Sent> {
  if (kind !== 'folder') {
    return await send(agent, await loadOf(path, kind), progress, {
      app: 'cut',
      whole: false,
      signal,
    });
  }
  const look = lookAt({ kind, path, typed: './' }, null, signal);
  const ahead = look.ahead ?? expect.fail('a folder is not packed ahead');
  try {
    return await sendWhileLookedAt(agent, ahead, look.shown(progress), progress, {
      app: 'cut',
      signal,
    });
  } finally {
    await look.close();
  }
}

test('cut at any byte, fifty times, each upload goes on to its end, and nothing is left over', async () => {
  const bytes = 400_000;
  for (let round = 0; round < CUTS; round += 1) {
    // From where the login is over: before it, the command ends, as nothing has begun.
    const at = randomInt(LOGIN, bytes + 20_000);
    const kind = (['tree', 'archive', 'folder'] as const)[round % 3] ?? 'tree';
    const path = await release(`round-${round}`, bytes);
    let cut: Promise<number> | null = null;
    relay.after(at, () => {
      cut = sshd.cut();
      return cut;
    });
    const how = `${kind} cut after ${at} bytes`;
    const sent = await withAgent(relay.port, (agent) => sendAs(kind, path, agent)).catch(
      (cause: unknown) => {
        throw new Error(how, { cause });
      },
    );
    await cut;
    const arrived = await readFile(join(artifacts(), sent.artifact));
    expect(hash('sha256', arrived), how).toBe(sent.artifact);
    expect(await uploads(), how).toEqual([]);
  }
  expect(sshd.log().match(/Accepted publickey/g)?.length).toBeGreaterThan(CUTS * 1.5);
}, 300_000);

test.each([0, 12])('what goes wrong after %s files leaves nothing on the host', async (parts) => {
  await withAgent(relay.port, async (agent) => {
    const ahead = new Ahead(signal);
    const looking = Promise.withResolvers<Load>();
    const sending = sendWhileLookedAt(agent, ahead, looking.promise, progress, {
      app: 'cut',
      signal,
    });
    sending.catch(() => undefined);
    ahead.walked([fileOf('zdd.yaml', APP.length)]);
    await ahead.take(fileOf('zdd.yaml', APP.length), Buffer.from(APP));
    for (let n = 0; n < parts; n += 1) {
      await ahead.take(fileOf(`part-${n}`, 1_000_000), randomBytes(1_000_000));
    }
    await until(
      async () => parts === 0 || (await sizes()).some((size) => size > 1_000_000),
      () => 'the beginning',
    );
    looking.reject(new Error('a link out of the folder'));
    await expect(sending).rejects.toThrow('a link out of the folder');
    await ahead.remove();
  });
  expect(await uploads()).toEqual([]);
});

test('looking that takes long keeps no request waiting, and what it finds then is sent', async () => {
  const spool = await Spool.open('x', { inMemory: 0, quietMs: 50 });
  const go = Promise.withResolvers<void>();
  const [before, after] = [randomBytes(100_000), randomBytes(100_000)];
  const filled = spool.fill(
    (async function* () {
      yield before;
      await go.promise;
      yield after;
    })(),
    signal,
  );
  let appended = 0;
  const artifact = await withAgent(relay.port, async (agent) => {
    const counting: Agent = {
      ...agent,
      async append(...args) {
        const reply = await agent.append(...args);
        appended += 1;
        go.resolve();
        return reply;
      },
    };
    const outgoing = new Outgoing(Buffer.alloc(0), spool);
    const sending = inOneUpload(counting, (id) =>
      sendPacked(counting, id, outgoing, { offset: 0, signal }),
    );
    await filled;
    spool.end();
    return await sending;
  });
  await spool.remove();
  expect(appended).toBe(2);
  expect(await readFile(join(artifacts(), artifact))).toEqual(Buffer.concat([before, after]));
});

test('an agent that is killed, or told to stop, while bytes come gets the rest after its restart', async () => {
  for (const how of ['SIGKILL', 'SIGTERM'] as const) {
    const path = await release(`restart-${how}`, 4_000_000);
    const load = await loadOf(path, 'tree');
    let restarted: Promise<void> | null = null;
    relay.after(1_000_000, async () => {
      restarted = host.stopDaemon(how).then(() => host.startDaemon());
    });
    const { artifact } = await withAgent(relay.port, (agent) =>
      send(agent, load, progress, { app: 'cut', whole: false, signal }),
    ).finally(() => restarted);
    expect(hash('sha256', await readFile(join(artifacts(), artifact)))).toBe(artifact);
    expect(await uploads()).toEqual([]);
  }
}, 180_000);

test('a channel that the agent has left is not asked again', async () => {
  await withAgent(relay.port, async (agent) => {
    await agent.status(signal);
    await host.stopDaemon('SIGKILL');
    await host.startDaemon();
    expect((await agent.status(signal)).apps).toBeDefined();
  });
});

test('what is to be removed while the agent is away is removed once it is back', async () => {
  await withAgent(relay.port, async (agent) => {
    const id = uploadId();
    await agent.append(
      id,
      { from: () => Readable.from([randomBytes(100)]) },
      { offset: 0, signal },
    );
    expect(await uploads()).toEqual([`upload-${id}`]);
    await host.stopDaemon('SIGKILL');
    const removed = agent.cancelUpload(id, 30_000);
    await host.startDaemon();
    await removed;
  });
  expect(await uploads()).toEqual([]);
});

test('a slow link carries a push to its end', async () => {
  const slow = await openRelay(sshd.port, { bytesPerSecond: 300_000 });
  await know(relay.port, slow.port);
  const load = await loadOf(await release('slow', 400_000), 'tree');
  const { artifact } = await withAgent(slow.port, (agent) =>
    send(agent, load, progress, { app: 'cut', whole: false, signal }),
  );
  await slow.close();
  expect((await stat(join(artifacts(), artifact))).size).toBeGreaterThan(400_000);
});

test('who gives up leaves nothing on the far side', async () => {
  const path = await release('given-up', 8_000_000);
  const ended = new AbortController();
  const load = await loadOf(path, 'tree');
  relay.after(2_000_000, async () => ended.abort(new Error('enough')));
  await expect(
    withAgent(relay.port, (agent) =>
      send(agent, load, progress, { app: 'cut', whole: false, signal: ended.signal }),
    ),
  ).rejects.toThrow('enough');
  await until(
    async () => (await uploads()).length === 0,
    () => 'the upload to be gone',
  );
});

test('the whole command is cut, goes on, and what it deploys is what was pushed', async () => {
  const path = await release('whole', 2_000_000);
  relay.after(1_000_000, () => sshd.cut());
  const ran = await cli(
    ['push', '--host', `${USER}@127.0.0.1:${relay.port}`, '--socket', host.socket],
    { cwd: path, env: { HOME: me.home }, deadlineMs: 50_000 },
  );
  expect(ran.stderr).toMatch(/ {2}send {7}5 files, 2\.0 MB sent/);
  expect(ran.code).toBe(0);
  const [name = ''] = await readdir(join(host.stateDir, 'apps/cut/releases'));
  const unpacked = join(host.stateDir, 'apps/cut/releases', name);
  for (const file of ['part-0', 'part-3', 'zdd.yaml']) {
    expect(await readFile(join(unpacked, file))).toEqual(await readFile(join(path, file)));
  }
});

test('all of a first release is packed while it is looked at, and again from a cut to its end', async () => {
  const path = await release('first', 2_000_000);
  await writeFile(join(path, 'zdd.yaml'), APP.replace('app: cut', 'app: first'));
  await writeFile(join(path, 'large'), randomBytes(1_500_000));
  relay.after(1_000_000, () => sshd.cut());
  const ran = await cli(
    ['push', '--host', `${USER}@127.0.0.1:${relay.port}`, '--socket', host.socket],
    { cwd: path, env: { HOME: me.home }, deadlineMs: 50_000 },
  );
  expect(ran.stderr).toMatch(/ {2}send {7}6 files, 3\.5 MB sent/);
  expect(ran.code).toBe(0);
  const [name = ''] = await readdir(join(host.stateDir, 'apps/first/releases'));
  const unpacked = join(host.stateDir, 'apps/first/releases', name);
  for (const file of await readdir(path)) {
    expect(await readFile(join(unpacked, file))).toEqual(await readFile(join(path, file)));
  }
});
