import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Receipt } from '../../../agent/protocol/events.ts';
import { cli, startCli, temporaryFolder, tooWide } from '../run-cli.ts';
import {
  AT,
  app,
  failedReceipt,
  R41,
  R42,
  receipt,
  statusReplyOf,
  storyOf,
  ZDD_YAML,
} from '../samples.ts';
import {
  json,
  refuses,
  replies,
  type StandIn,
  standIn,
  streams,
  takesArtifacts,
} from '../stand-in.ts';

const FORWARD = fileURLToPath(new URL('./forward.ts', import.meta.url));
const HOSTS = ['deploy@web1.example.com', 'deploy@web2.example.com'] as const;

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let project: string;
let web1: StandIn;
let web2: StandIn;

beforeEach(async () => {
  folder = await temporaryFolder();
  project = join(folder.path, 'project');
  await mkdir(project);
  await environments(`production: { hosts: [${HOSTS.join(', ')}] }`);
  web1 = await agentOf('web1.example.com', R42);
  web2 = await agentOf('web2.example.com', 'r9-ab12cd3');
});
afterEach(async () => {
  await web1.close();
  await web2.close();
  await folder.remove();
});

async function environments(...lines: string[]): Promise<void> {
  await writeFile(
    join(project, 'zdd.yaml'),
    `${ZDD_YAML}environments:\n${lines.map((line) => `  ${line}\n`).join('')}`,
  );
}

async function agentOf(host: string, live: string): Promise<StandIn> {
  const agent = await standIn(join(folder.path, `${host}.sock`));
  const shop = app({ live });
  agent.on(
    'GET /v1/status',
    replies({ schemaVersion: 1, agent: '0.1.0', apps: [shop], attention: [] }),
  );
  agent.on('GET /v1/apps/shop', replies(shop));
  agent.on('POST /v1/artifacts', takesArtifacts(agent));
  return agent;
}

/** A push of this agent ends so. */
function ends(agent: StandIn, end: Receipt): void {
  const { deployment } = end;
  agent.on(
    'POST /v1/deployments',
    replies({ app: 'shop', deployment, result: 'started', since: 100 }, 202),
  );
  agent.on('GET /v1/events', streams(storyOf(end)));
}

const words = (args: readonly string[]) => [
  ...args,
  `--ssh-command='${process.execPath}' '${FORWARD}' '${folder.path}'`,
];
const run = (...args: string[]) => cli(words(args), { cwd: project });

const pushed = (agent: StandIn) =>
  agent.requests.filter((line) => line === 'POST /v1/deployments').length;

test('a push goes to one host after the other and says which of them have what', async () => {
  ends(web1, receipt({ deployment: 57 }));
  ends(web2, receipt({ deployment: 12, release: 'r9-ab12cd3' }));
  const { code, stdout, stderr } = await run('push');
  expect(code).toBe(0);
  const [first, second] = [stderr.indexOf(HOSTS[0]), stderr.indexOf(HOSTS[1])];
  expect(first).toBeGreaterThanOrEqual(0);
  expect(second).toBeGreaterThan(first);
  expect(stdout).toMatch(/^deploy@web1\.example\.com +done +shop r42-ab12cd3 is live$/m);
  expect(stdout).toMatch(/^deploy@web2\.example\.com +done +shop r9-ab12cd3 is live$/m);
  expect([pushed(web1), pushed(web2)]).toEqual([1, 1]);
});

test.each([
  ['a folder', []],
  // Only the agent reads what is in it.
  ['an archive', ['shop.tar.gz']],
])(
  'the first of several hosts runs what is once for the fleet; the others are told: %s',
  async (_what, args) => {
    await writeFile(join(project, 'shop.tar.gz'), 'of a CI job');
    const wishes: unknown[] = [];
    for (const [agent, deployment] of [
      [web1, 57],
      [web2, 12],
    ] as const) {
      ends(agent, receipt({ deployment }));
      agent.on('POST /v1/deployments', async (request, response) => {
        const chunks: Buffer[] = [];
        for await (const chunk of request) chunks.push(chunk);
        wishes.push(JSON.parse(Buffer.concat(chunks).toString()).releasedElsewhere);
        json(response, 202, { app: 'shop', deployment, result: 'started', since: 100 });
      });
    }
    expect((await run('push', ...args)).code).toBe(0);
    expect(wishes).toEqual([undefined, true]);
  },
);

test('the first failure stops it; the one after it was not asked for anything', async () => {
  const error = { code: 'ZDD_PROBE_TIMEOUT', message: 'never', evidence: [], tries: [] } as const;
  ends(web1, failedReceipt('probing', { ...error, evidence: [], tries: ['zdd-agent logs'] }));
  const { code, stdout, stderr } = await run('push', '--json');
  expect(code).toBe(20);
  expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toEqual({
    hosts: [
      { host: HOSTS[0], result: 'failed', exit: 20, app: 'shop', live: R42 },
      { host: HOSTS[1], result: 'not_tried', exit: null, app: null, live: null },
    ],
  });
  expect(stderr).toContain(`Try: zdd-agent logs --host ${HOSTS[0]}`);
  expect(web2.requests).toEqual([]);
});

test('status is one table of what each agent says', async () => {
  const { code, stdout } = await run('status');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^production +2 hosts, agent 0\.1\.0$/m);
  expect(stdout).toMatch(/^shop +web1 +r42-ab12cd3 /m);
  expect(stdout).toMatch(/^shop +web2 +r9-ab12cd3 /m);
  expect(tooWide(stdout)).toEqual([]);
});

test('a host out of reach is shown as such beside the others, exit 11', async () => {
  await web1.close();
  const { code, stdout } = await run('status');
  expect(code).toBe(11);
  expect(stdout).toMatch(/^– +web1 +unreachable/m);
  expect(stdout).toMatch(/^shop +web2 /m);
  const json = await run('status', '--json');
  expect(
    json.stdout
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line)),
  ).toMatchObject([
    { host: HOSTS[0], error: { code: 'ZDD_AGENT_UNREACHABLE' } },
    { host: HOSTS[1], apps: [{ live: 'r9-ab12cd3' }] },
  ]);
  const push = await run('push');
  expect(push.code).toBe(11);
  expect(push.stdout).toMatch(/^deploy@web2\.example\.com +not tried/m);
});

test('releases of all hosts are told by their contents, whatever each host calls them', async () => {
  const has = (agent: StandIn, ...names: string[]) =>
    agent.on(
      'GET /v1/apps/shop/releases',
      replies({
        schemaVersion: 1,
        app: 'shop',
        releases: names.map((release, index) => ({
          release,
          createdAt: AT - index,
          bytes: 1_000,
          files: 2,
          state: index === 0 ? 'live' : 'good',
          source: './',
        })),
      }),
    );
  has(web1, R42, R41);
  has(web2, 'r9-ab12cd3');
  const { code, stdout } = await run('releases');
  expect(code).toBe(0);
  expect(stdout).toMatch(/^release +age +size +web1 +web2/m);
  expect(stdout).toMatch(/^ab12cd3 .* r42 live +r9 live/m);
  expect(stdout).toMatch(/^0c1d2e3 .* r41 good +–/m);
});

function prints(agent: StandIn, ...lines: [number, string][]): void {
  agent.on('GET /v1/apps/shop/logs', (_request, response, url) => {
    const slot = 'shop.r42-ab12cd3-d57-web-1';
    for (const [at, text] of lines) {
      const line = { at: AT + at, app: 'shop', release: R42, slot, stream: 'out', text };
      response.write(`${JSON.stringify(line)}\n`);
    }
    if (url.searchParams.get('follow') !== '1') response.end();
  });
}

test('logs of all hosts come as one, in the order of time, sieved by level', async () => {
  prints(web1, [1, 'ERROR one'], [3, 'INFO two'], [5, 'ERROR three'], [6, 'no level']);
  prints(web2, [2, 'FATAL four'], [4, 'WARN five']);
  const { code, stdout, stderr } = await run('logs', '--level', 'error');
  expect(code).toBe(0);
  expect(stdout.split('\n')).toEqual([
    expect.stringMatching(/^web1 {2}18:29:58 r42 web\.1 +ERROR one$/),
    expect.stringMatching(/^web2 {2}18:29:58 r42 web\.1 +FATAL four$/),
    expect.stringMatching(/^web1 {2}18:29:58 r42 web\.1 +ERROR three$/),
    '',
  ]);
  expect(stderr).toContain('(1 line without a level left out');
  const json = await run('logs', '--level', 'error', '--json', '-n', '1');
  expect(
    json.stdout
      .trim()
      .split('\n')
      .map((line): unknown => JSON.parse(line)),
  ).toMatchObject([
    { host: HOSTS[1], text: 'FATAL four', level: 'fatal' },
    { host: HOSTS[0], text: 'ERROR three', level: 'error' },
  ]);
});

test.each([
  ['logs', '-f'],
  ['events', '-f'],
])('%s %s follows all hosts at once', async (...args) => {
  for (const agent of [web1, web2]) {
    prints(agent, [1, 'INFO x']);
    agent.on('GET /v1/events', streams(storyOf(receipt())));
  }
  const following = startCli(words(args), { cwd: project });
  await following.says('web1  ');
  await following.says('web2  ');
  following.child.kill('SIGINT');
  expect((await following.ended()).code).toBe(130);
});

test('drain watches all hosts at once', async () => {
  const { code, stdout } = await run('drain');
  expect(code).toBe(0);
  expect(stdout.split('\n').toSorted()).toEqual([
    '',
    'web1  nothing drains',
    'web2  nothing drains',
  ]);
});

test('an app that only some hosts have is no error, one that none has is', async () => {
  const forget = (agent: StandIn) => {
    agent.on('GET /v1/status', replies(statusReplyOf([])));
    agent.on('GET /v1/apps/shop', refuses(404, 'ZDD_APP_UNKNOWN', 'no app shop'));
  };
  forget(web2);
  const some = await run('status', 'shop');
  expect(some.code).toBe(0);
  expect(some.stdout.match(/^shop /gm)).toHaveLength(1);
  forget(web1);
  expect((await run('status', 'shop')).code).toBe(2);
});

/** Which of the two are asked by `status`. */
async function asked(...args: string[]): Promise<string[]> {
  for (const agent of [web1, web2]) agent.requests.length = 0;
  expect(await run('status', ...args)).toMatchObject({ code: 0, stderr: '' });
  return [web1, web2].flatMap(({ requests }, index) =>
    requests.length > 0 ? [`web${index + 1}`] : [],
  );
}

test('the default environment is the only one, else production, else it has to be named', async () => {
  const [one, two] = HOSTS;
  await environments(`staging: { hosts: [${one}] }`);
  expect(await asked()).toEqual(['web1']);
  await environments(`staging: { hosts: [${one}] }`, `production: { hosts: [${two}] }`);
  expect(await asked()).toEqual(['web2']);
  expect(await asked('-e', 'staging')).toEqual(['web1']);
  await environments(`a: { hosts: [${one}] }`, `b: { hosts: [${two}] }`);
  expect(await run('status')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('which environment?'),
  });
  expect(await run('status', '-e', 'c')).toMatchObject({
    code: 2,
    stderr: expect.stringContaining('zdd.yaml has no environment c'),
  });
});

test('hosts come from a file or from what a command prints', async () => {
  const [one, two] = HOSTS;
  await environments(
    'filed: { hosts: { file: ../hosts.txt } }',
    'told: { hosts: { command: ./hosts.sh } }',
    'listed: { hosts: { command: [cat, ../hosts.txt] } }',
    'broken: { hosts: { command: "echo why it broke >&2; exit 3" } }',
    'empty: { hosts: { command: "true" } }',
    'missing: { hosts: { file: nowhere } }',
  );
  await writeFile(join(folder.path, 'hosts.txt'), `# the first\n${one} # here\n\n`);
  await writeFile(join(project, 'hosts.sh'), `#!/bin/sh\necho ${two}\n`);
  await chmod(join(project, 'hosts.sh'), 0o755);
  expect(await asked('-e', 'filed')).toEqual(['web1']);
  expect(await asked('-e', 'told')).toEqual(['web2']);
  expect(await asked('-e', 'listed')).toEqual(['web1']);
  const broken = await run('status', '-e', 'broken');
  expect(broken.code).toBe(10);
  expect(broken.stderr).toContain('it ended with 3');
  expect(broken.stderr).toContain('why it broke');
  for (const environment of ['empty', 'missing']) {
    const { code, stderr } = await run('status', '-e', environment);
    expect(code).toBe(10);
    expect(stderr).toContain(`the hosts of ${environment} cannot be listed`);
  }
});
