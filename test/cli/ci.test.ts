import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ErrorBody } from '../../agent/protocol/errors.ts';
import type { NewEvent, Receipt } from '../../agent/protocol/events.ts';
import { ciLogOf } from '../../cli/render/ci.ts';
import { cli, temporaryFolder } from './run-cli.ts';
import { app, failedReceipt, receipt, stamp, storyOf, ZDD_YAML } from './samples.ts';
import { replies, type StandIn, standIn, streams, takesArtifacts } from './stand-in.ts';

const GITHUB = { GITHUB_ACTIONS: 'true', CI: 'true' };
const GITLAB = { GITLAB_CI: 'true', CI: 'true' };

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let project: string;
let agent: StandIn;

beforeEach(async () => {
  folder = await temporaryFolder();
  project = join(folder.path, 'project');
  await mkdir(project);
  await writeFile(join(project, 'zdd.yaml'), ZDD_YAML);
  agent = await standIn(join(folder.path, 'agent.sock'));
  agent.on('GET /v1/apps/shop', replies(app()));
  agent.on('POST /v1/artifacts', takesArtifacts(agent));
  agent.on(
    'POST /v1/deployments',
    replies({ app: 'shop', deployment: 57, result: 'started', since: 100 }, 202),
  );
});
afterEach(async () => {
  await agent.close();
  await folder.remove();
});

const run = (env: Readonly<Record<string, string>>, ...args: string[]) =>
  cli(args, { cwd: project, socket: '../agent.sock', env });

/** The story of a deployment, its agent telling what it does while it probes. */
function ends(end: Receipt): void {
  const told = storyOf(end).flatMap((event): NewEvent[] => {
    const { seq: _seq, at: _at, ...news } = event;
    if (news.type !== 'phase_changed' || news.to !== 'probing') return [news];
    const { app: name, deployment } = news;
    return [
      news,
      {
        type: 'progress',
        app: name,
        deployment,
        phase: 'probing',
        message: 'web.1 503 after 4.0s\n::set-env name=X::y ##[error]z',
      },
    ];
  });
  agent.on('GET /v1/events', streams(stamp(told)));
}

const TIMEOUT: ErrorBody = {
  code: 'ZDD_PROBE_TIMEOUT',
  message: 'the new release never became healthy: 100 %',
  evidence: [
    ['last answer', '503 from GET /healthz in 4 ms'],
    ['last output', '::add-mask::shop\n\u001b[31m##[error]db: connect ECONNREFUSED'],
  ],
  traffic: 'untouched: 100 % on r41-0c1d2e3',
  tries: ['zdd-agent logs --release r42 --since 2m'],
};

/** Lines that GitHub's runner would take for commands. */
function commands(text: string): string[] {
  return text.split('\n').filter((line) => line.trimStart().startsWith('::'));
}

test('on GitHub what a phase says is folded, and its own line stays outside', async () => {
  ends(receipt());
  const { code, stdout, stderr } = await run(GITHUB, 'push');
  expect(code).toBe(0);
  expect(stderr).toContain(
    [
      '::group::probe',
      '  web.1 503 after 4.0s',
      ': :set-env name=X::y # #[error]z',
      '::endgroup::',
      '  probe      web.1 200 in 12 ms, web.2 200 in 11 ms',
    ].join('\n'),
  );
  expect(stdout).toContain('live: shop.example.com');
  const opened = commands(stderr).filter((line) => line.startsWith('::group::'));
  const closed = commands(stderr).filter((line) => line === '::endgroup::');
  expect(closed).toHaveLength(opened.length);
  expect(commands(stderr).every((line) => /^::(group::|endgroup::$)/.test(line))).toBe(true);
});

test('on GitHub a failure is one annotation, with its code as the title, after the groups', async () => {
  ends(failedReceipt('probing', TIMEOUT));
  const { code, stderr } = await run(GITHUB, 'push');
  expect(code).toBe(20);
  const annotation = commands(stderr).at(-1);
  expect(annotation).toBe(
    '::error title=ZDD_PROBE_TIMEOUT::the new release never became healthy: 100 %25%0A' +
      'last answer: 503 from GET /healthz in 4 ms%0A' +
      'last output: ::add-mask::shop%0A##[error]db: connect ECONNREFUSED%0A' +
      'traffic: untouched: 100 %25 on r41-0c1d2e3%0A' +
      'Try: zdd-agent logs --release r42 --since 2m',
  );
  expect(commands(stderr).at(-2)).toBe('::endgroup::');
  expect(commands(stderr).filter((line) => line.startsWith('::error'))).toHaveLength(1);
  expect(stderr).toContain('Error: the new release never became healthy');
  // What the app printed cannot give the runner orders.
  expect(stderr).not.toMatch(/^\s*::add-mask/m);
  expect(stderr.replace(annotation ?? '', '')).not.toContain('##[');
});

test('on GitHub problems of zdd.yaml are annotations of its lines', async () => {
  await writeFile(
    join(project, 'zdd.yaml'),
    'app: shop\nprocesses:\n  web:\n    run: x\n    instances: two\n    heatlh: /\n',
  );
  const { code, stderr } = await run(
    { ...GITHUB, GITHUB_WORKSPACE: folder.path },
    'config',
    'check',
  );
  expect(code).toBe(10);
  expect(commands(stderr)).toEqual([
    '::error file=project/zdd.yaml,line=5,col=5,title=ZDD_CONFIG_INVALID::' +
      'processes.web.instances: expected a whole number ≥ 1, got "two"',
    '::error file=project/zdd.yaml,line=6,col=5,title=ZDD_CONFIG_INVALID::' +
      'unknown key "heatlh" under processes.web: did you mean "health"?',
  ]);
});

test('on GitLab what a phase says is a collapsed section; a failure is plain', async () => {
  ends(failedReceipt('starting', TIMEOUT));
  const failed = await run(GITLAB, 'push');
  expect(failed.code).toBe(20);
  expect(failed.stderr).not.toMatch(/^::/m);
  expect(failed.stderr).toContain('Error: the new release never became healthy');

  ends(receipt());
  const { stderr } = await run({ ...GITLAB, NO_COLOR: '1' }, 'push');
  const visible = stderr.replaceAll('\u001b', 'ESC').replaceAll('\r', 'CR');
  const [, start, name, said, end] =
    new RegExp(
      [
        'ESC\\[0Ksection_start:(\\d+):(zdd_\\d+_probe)\\[collapsed=true\\]CRESC\\[0Kprobe',
        ' {2}(web\\.1 503 after 4\\.0s)',
        '.*',
        'ESC\\[0Ksection_end:(\\d+):\\2CRESC\\[0K',
        ' {2}probe {6}web\\.1 200',
      ].join('\n'),
    ).exec(visible) ?? [];
  expect(name).toBeDefined();
  expect(said).toBe('web.1 503 after 4.0s');
  expect(Number(end)).toBeGreaterThanOrEqual(Number(start));
  // The markers are no colours; there are none besides.
  expect(stderr.replaceAll('\u001b[0K', '')).not.toContain('\u001b');
});

test('sections of one log never share a name', () => {
  const ci = ciLogOf(GITLAB, '/');
  const names = ['probe', 'probe'].map((title) => /zdd_\w+/.exec(ci?.openGroup(title) ?? '')?.[0]);
  expect(new Set(names).size).toBe(2);
});

test('with --json nothing is added in CI, and --quiet keeps the annotation alone', async () => {
  ends(failedReceipt('probing', TIMEOUT));
  const plain = await run({}, 'push', '--json');
  const onGithub = await run(GITHUB, 'push', '--json');
  expect(onGithub.stdout).toBe(plain.stdout);
  expect(onGithub.stderr).toBe(plain.stderr);
  const quiet = await run(GITHUB, 'push', '--quiet');
  expect(commands(quiet.stderr)).toEqual([expect.stringMatching(/^::error title=ZDD_PROBE_/)]);
});

test('anywhere else nothing is said while a phase runs, CI=true alone included', async () => {
  ends(receipt());
  const { stderr } = await run({ CI: 'true', GITHUB_ACTIONS: 'false' }, 'push');
  expect(stderr).not.toContain('503 after');
  expect(stderr).not.toContain('::');
});
