import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Lab, openLab } from '../connect/lab.ts';
import { freePort, type Sshd } from '../connect/sshd.ts';
import { tooWide } from '../run-cli.ts';
import { app, R42, receipt, storyOf, ZDD_YAML } from '../samples.ts';
import { json, replies, streams, takesArtifacts } from '../stand-in.ts';

let lab: Lab;
let one: Sshd;
let two: Sshd;
let project: string;

beforeEach(async () => {
  lab = await openLab();
  one = await lab.sshd({ name: 'one' });
  two = await lab.sshd({ name: 'two' });
  project = join(lab.path, 'project');
  await mkdir(project);
  await environments(`  production: { hosts: [${one.destination}, ${two.destination}] }`);
  lab.agent.on(
    'GET /v1/status',
    replies({ schemaVersion: 1, agent: '0.1.0', apps: [app()], attention: [] }),
  );
  lab.agent.on('GET /v1/apps/shop', replies(app()));
  lab.agent.on('POST /v1/artifacts', takesArtifacts(lab.agent));
});
afterEach(() => lab.remove());

async function environments(...lines: string[]): Promise<void> {
  const text = `${ZDD_YAML}environments:\n${lines.join('\n')}\n`;
  await writeFile(join(project, 'zdd.yaml'), text);
}

/** With a socket of its own, which alone would mean this machine: the environment is named. */
const run = (...args: string[]) =>
  lab.me.run([...args, '-e', 'production', '--socket', lab.agent.socket], { cwd: project });

/** Whose login an sshd has seen, and how often. */
const logins = (host: Sshd) => (host.log().match(/Accepted publickey/g) ?? []).length;

/** Each push of the agent ends by the next of these. */
function pushesEnd(...ends: ReturnType<typeof receipt>[]): void {
  let pushes = 0;
  lab.agent.on('POST /v1/deployments', (_request, response) => {
    const deployment = ends[pushes]?.deployment ?? 0;
    pushes += 1;
    json(response, 202, { app: 'shop', deployment, result: 'started', since: 100 });
  });
  lab.agent.on('GET /v1/events', (request, response, url) => {
    const end = ends.find(
      ({ deployment }) => String(deployment) === url.searchParams.get('deployment'),
    );
    streams(end ? storyOf(end) : [])(request, response, url);
  });
}

test('a push goes to one host after the other and says which of them have what', async () => {
  pushesEnd(receipt({ deployment: 57 }), receipt({ deployment: 12 }));
  const { code, stdout, stderr } = await run('push');
  expect(code).toBe(0);
  const [first, second] = [stderr.indexOf(one.destination), stderr.indexOf(two.destination)];
  expect(first).toBeGreaterThanOrEqual(0);
  expect(second).toBeGreaterThan(first);
  for (const { destination } of [one, two]) {
    expect(stdout).toMatch(new RegExp(`^${destination} +done +shop ${R42} is live$`, 'm'));
  }
  expect([logins(one), logins(two)]).toEqual([1, 1]);
});

test('a host out of reach stops what changes something, and does not stop what only looks', async () => {
  const port = await freePort();
  const away = `nobody@127.0.0.1:${port}`;
  await environments(`  production: { hosts: [${away}, ${one.destination}] }`);
  pushesEnd(receipt());
  const push = await run('push');
  expect(push.code).toBe(11);
  expect(push.stdout).toMatch(/not tried/);
  expect(logins(one)).toBe(0);
  const status = await run('status');
  expect(status.code).toBe(11);
  expect(status.stdout).toMatch(new RegExp(`^– +127.0.0.1:${port} +unreachable`, 'm'));
  expect(status.stdout).toMatch(new RegExp(`^shop +127.0.0.1:${one.port} +${R42}`, 'm'));
  expect(status.stdout).toContain(`takes no SSH connection on port ${port}`);
  expect(tooWide(status.stdout).filter((line) => !line.includes('Try: '))).toEqual([]);
  const lines = (await run('status', '--json')).stdout.trim().split('\n');
  expect(lines.map((line): unknown => JSON.parse(line))).toMatchObject([
    { host: away, error: { code: 'ZDD_AGENT_UNREACHABLE' } },
    { host: one.destination, apps: [{ app: 'shop' }], cli: expect.any(String) },
  ]);
});

test('status shows every host of the environment, named by it, over one connection each', async () => {
  const { code, stdout, stderr } = await run('status');
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  expect(stdout).toMatch(/^production +2 hosts, agent 0\.1\.0$/m);
  for (const { port } of [one, two])
    expect(stdout).toMatch(new RegExp(`^shop +127.0.0.1:${port} `, 'm'));
  expect([logins(one), logins(two)]).toEqual([1, 1]);
});
