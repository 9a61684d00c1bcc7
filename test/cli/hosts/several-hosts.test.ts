import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type Lab, openLab } from '../connect/lab.ts';
import { freePort, type Sshd } from '../connect/sshd.ts';
import { tooWide } from '../run-cli.ts';
import { AT, app, failedReceipt, R41, R42, receipt, storyOf, ZDD_YAML } from '../samples.ts';
import { json, refuses, replies, streams, takesArtifacts } from '../stand-in.ts';

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
const where = (environment = 'production') => ['-e', environment, '--socket', lab.agent.socket];
const run = (...args: string[]) => lab.me.run([...args, ...where()], { cwd: project });

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
  expect(stderr.indexOf(`${one.destination} `)).toBeLessThan(stderr.indexOf(`${two.destination} `));
  expect(stderr).toContain('1 of 2');
  expect(stderr).toContain('2 of 2');
  const serves = (host: Sshd) => `${host.destination}   done     shop ${R42} is live`;
  expect(stdout).toContain(serves(one));
  expect(stdout).toContain(serves(two));
  expect(tooWide(stdout + stderr)).toEqual([]);
  expect([logins(one), logins(two)]).toEqual([1, 1]);
});

test('the first failure stops it: its exit code, and what was not tried', async () => {
  const error = {
    code: 'ZDD_PROBE_TIMEOUT',
    message: 'never healthy',
    evidence: [],
    tries: [],
  } as const;
  pushesEnd(failedReceipt('probing', { ...error, evidence: [], tries: [] }));
  lab.agent.on('GET /v1/apps/shop', replies(app({ live: R41 })));
  const { code, stdout } = await run('push');
  expect(code).toBe(20);
  expect(stdout).toMatch(/failed, exit 20 +shop r41-0c1d2e3 is live/);
  expect(stdout).toMatch(new RegExp(`${two.destination} +not tried`));
  expect([logins(one), logins(two)]).toEqual([1, 0]);
  const json = await run('push', '--json');
  expect(JSON.parse(json.stdout.trim().split('\n').at(-1) ?? '')).toEqual({
    hosts: [
      { host: one.destination, result: 'failed', exit: 20, app: 'shop', live: R41 },
      { host: two.destination, result: 'not_tried', exit: null, app: null, live: null },
    ],
  });
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

test('an app that only some hosts have is no error, one that none has is', async () => {
  let asked = 0;
  lab.agent.on('GET /v1/apps/shop', (request, response, url) => {
    asked += 1;
    const answer = asked === 1 ? replies(app()) : refuses(404, 'ZDD_APP_UNKNOWN', 'no app shop');
    return answer(request, response, url);
  });
  const some = await run('status', 'shop');
  expect(some.code).toBe(0);
  expect(some.stdout.match(/^shop /gm)).toHaveLength(1);
  lab.agent.on('GET /v1/apps/shop', refuses(404, 'ZDD_APP_UNKNOWN', 'no app shop'));
  expect((await run('status', 'shop')).code).toBe(2);
});

test('releases of all hosts are one table', async () => {
  lab.agent.on(
    'GET /v1/apps/shop/releases',
    replies({
      schemaVersion: 1,
      app: 'shop',
      releases: [
        { release: R42, createdAt: AT, bytes: 1_000, files: 2, state: 'live', source: './' },
      ],
    }),
  );
  const { code, stdout } = await run('releases');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^ab12cd3 .*r42 live +r42 live/m);
});

test('logs of all hosts come as one, in the order of time, each line with its host', async () => {
  let asked = 0;
  lab.agent.on('GET /v1/apps/shop/logs', (_request, response) => {
    asked += 1;
    const line = (at: number, text: string) =>
      JSON.stringify({
        at,
        app: 'shop',
        release: R42,
        slot: 'shop.r42-ab12cd3-d57-web-1',
        stream: 'out',
        text,
      });
    response.end(
      [line(AT + asked, `ERROR ${asked}`), line(AT + asked + 10, 'INFO x'), ''].join('\n'),
    );
  });
  const { code, stdout, stderr } = await run('logs', '--level', 'error');
  expect(code).toBe(0);
  expect(stdout.split('\n')).toEqual([
    expect.stringMatching(/^127\.0\.0\.1:\d+ {2}18:29:58 r42 web\.1 +ERROR 1$/),
    expect.stringMatching(/^127\.0\.0\.1:\d+ {2}18:29:58 r42 web\.1 +ERROR 2$/),
    '',
  ]);
  expect(stderr).toBe('');
});

test('logs -f and events -f follow all hosts at once', async () => {
  lab.agent.on('GET /v1/events', streams(storyOf(receipt())));
  const following = lab.me.start(['events', '-f', ...where()], { cwd: project });
  await following.says(`127.0.0.1:${one.port}  2026`);
  await following.says(`127.0.0.1:${two.port}  2026`);
  following.child.kill('SIGINT');
  expect((await following.ended()).code).toBe(130);
});

test('the default environment is the only one, else production, else it has to be named', async () => {
  // There is no agent at the usual place: whose sshd is asked for it is what counts.
  const usual = (...words: string[]) => lab.me.run(['status', ...words], { cwd: project });
  await environments(`  staging: { hosts: [${one.destination}] }`);
  await usual();
  expect([logins(one), logins(two)]).toEqual([1, 0]);
  await environments(
    `  staging: { hosts: [${one.destination}] }`,
    `  production: { hosts: [${two.destination}] }`,
  );
  await usual();
  expect([logins(one), logins(two)]).toEqual([1, 1]);
  await usual('-e', 'staging');
  expect([logins(one), logins(two)]).toEqual([2, 1]);
  await environments(`  a: { hosts: [${one.destination}] }`, '  b: { hosts: [x] }');
  expect(await usual()).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('which environment?'),
  });
  expect(await usual('-e', 'c')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('zdd.yaml has no environment c'),
  });
});

test('hosts come from a file or from what a command prints', async () => {
  await environments(
    '  filed: { hosts: { file: ../hosts.txt } }',
    '  told: { hosts: { command: ./hosts.sh } }',
    '  broken: { hosts: { command: "echo why it broke >&2; exit 3" } }',
    '  empty: { hosts: { command: "true" } }',
  );
  await writeFile(join(lab.path, 'hosts.txt'), `# the first\n${one.destination}\n\n`);
  await writeFile(join(project, 'hosts.sh'), `#!/bin/sh\necho ${two.destination} # the second\n`);
  await chmod(join(project, 'hosts.sh'), 0o755);
  const statusOf = (environment: string) =>
    lab.me.run(['status', ...where(environment)], { cwd: project });
  expect((await statusOf('filed')).code).toBe(0);
  expect([logins(one), logins(two)]).toEqual([1, 0]);
  expect((await statusOf('told')).code).toBe(0);
  expect([logins(one), logins(two)]).toEqual([1, 1]);
  const broken = await statusOf('broken');
  expect(broken.code).toBe(10);
  expect(broken.stderr).toContain('it ended with 3');
  expect(broken.stderr).toContain('why it broke');
  expect(await statusOf('empty')).toMatchObject({
    code: 10,
    stderr: expect.stringContaining('the list is empty'),
  });
});
