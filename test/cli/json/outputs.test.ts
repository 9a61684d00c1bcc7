import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { ErrorBody } from '../../../agent/protocol/errors.ts';
import { METRICS_TYPE } from '../../../agent/protocol/metrics.ts';
import { outputSchema, outputSchemas, VERBS_WITH_OUTPUT } from '../../../cli/json/outputs.ts';
import { COMMANDS } from '../../../cli/registry.ts';
import { cli, type Ran, temporaryFolder } from '../run-cli.ts';
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

const file = new URL('../../../templates/output.schema.json', import.meta.url);
/** As somebody else's script would: by the file that is shipped. */
const published: unknown = JSON.parse(readFileSync(file, 'utf8'));
const ajv = new Ajv2020({ strict: true, strictTypes: false, allowUnionTypes: true });
ajv.addSchema(published as object, 'output');

let folder: Awaited<ReturnType<typeof temporaryFolder>>;
let project: string;
let agent: StandIn;

const FAILURE: ErrorBody = {
  code: 'ZDD_PROBE_TIMEOUT',
  message: 'never healthy',
  evidence: [['last answer', '503']],
  traffic: `untouched: 100 % on ${R41}`,
  tries: ['zdd-agent logs'],
};

beforeAll(async () => {
  folder = await temporaryFolder();
  project = join(folder.path, 'project');
  await mkdir(project);
  await writeFile(join(project, 'zdd.yaml'), ZDD_YAML);
  await writeFile(join(project, 'package.json'), '{"scripts":{"start":"node server.js"}}');
  agent = await standIn(join(folder.path, 'agent.sock'));
  agent.on('POST /v1/artifacts', takesArtifacts(agent));
  const started = { app: 'shop', deployment: 57, result: 'started', since: 100 };
  agent.on('POST /v1/deployments', replies(started, 202));
  for (const verb of ['rollback', 'abort', 'promote', 'restart', 'scale', 'start', 'stop']) {
    agent.on(`POST /v1/apps/shop/${verb}`, replies(started, 202));
  }
  agent.on('GET /v1/events', streams(storyOf(receipt())));
  const shop = app();
  agent.on('GET /v1/apps/shop', replies(shop));
  agent.on(
    'GET /v1/status',
    replies({
      schemaVersion: 1,
      agent: '0.1.0',
      apps: [shop],
      attention: [{ level: 'warning', code: 'drift', what: 'x', tries: [] }],
    }),
  );
  agent.on(
    'GET /v1/apps/shop/releases',
    replies({
      schemaVersion: 1,
      app: 'shop',
      releases: [{ release: R42, createdAt: AT, bytes: 1, files: 1, state: 'live', source: '' }],
    }),
  );
  agent.on('GET /v1/metrics', (_request, response) => {
    response.setHeader('content-type', METRICS_TYPE);
    response.end('zdd_haproxy_up 1\n');
  });
  const gated = { app: 'shop', reloaded: false };
  agent.on('POST /v1/apps/shop/lock', replies({ ...gated, result: 'locked' }));
  agent.on('POST /v1/apps/shop/unlock', replies({ ...gated, result: 'unlocked' }));
  agent.on('POST /v1/apps/shop/maintenance', replies({ ...gated, result: 'on' }));
  agent.on(
    'GET /v1/audit',
    replies({
      schemaVersion: 1,
      entries: [
        {
          seq: 1,
          at: AT,
          app: 'shop',
          verb: 'rollback',
          details: { release: 'r41' },
          claimed: { owner: 'deploy@laptop', cli: '0.1.0' },
          verified: { uid: 1000, user: 'deploy', ssh: [] },
          deployment: 58,
          outcome: 'succeeded',
        },
      ],
    }),
  );
  agent.on(
    'GET /v1/apps/shop/environment',
    replies({ schemaVersion: 1, app: 'shop', live: R42, variables: [], leaving: ['KEY'] }),
  );
  agent.on(
    'POST /v1/apps/shop/environment',
    replies({ app: 'shop', set: [], unchanged: [], unset: ['KEY'], live: R42, pending: true }),
  );
  agent.on('GET /v1/doctor', replies({ schemaVersion: 1, findings: [] }));
  agent.on('GET /v1/apps/shop/logs', (_request, response) => {
    const line = { at: AT, app: 'shop', release: R42, slot: 'r42-d57-web-1', stream: 'out' };
    response.end(
      [
        { ...line, text: 'ERROR x' },
        { ...line, text: 'x', priority: 4 },
        { ...line, text: 'x' },
      ]
        .map((each) => `${JSON.stringify(each)}\n`)
        .join(''),
    );
  });
  agent.on(
    'GET /v1/apps/shop/deployments/57',
    replies({ app: 'shop', deployment: 57, phase: null, outcome: 'succeeded', receipt: receipt() }),
  );
});
afterAll(async () => {
  await agent.close();
  await folder.remove();
});

const run = (...args: string[]) => cli([...args, '--json'], { cwd: project, socket: agent.socket });

function validator(verb: string): ValidateFunction {
  const found = ajv.getSchema(`output#/$defs/${encodeURIComponent(verb)}`);
  if (found === undefined) throw new Error(`no schema for ${verb}`);
  return found;
}

/** Every line of stdout is what the schema of the verb says. @returns the lines */
function expectLines(verb: string, { stdout }: Ran): unknown[] {
  const validate = validator(verb);
  const lines = stdout
    .trim()
    .split('\n')
    .map((line): unknown => JSON.parse(line));
  expect(lines.length).toBeGreaterThan(0);
  for (const line of lines) {
    validate(line);
    expect({ line, errors: validate.errors ?? null }).toEqual({ line, errors: null });
  }
  return lines;
}

test('templates/output.schema.json is these schemas (else: npm run schema)', () => {
  expect(published).toEqual(outputSchemas());
});

test('every verb that prints JSON of its own has a schema', () => {
  const without = new Set(['config schema', 'exec', 'console', 'completion', 'complete', 'schema']);
  const verbs = COMMANDS.map(({ name }) => name).filter((name) => !without.has(name));
  expect([...VERBS_WITH_OUTPUT].toSorted()).toEqual(verbs.toSorted());
});

test.each([
  ['push', []],
  ['push', ['--detach']],
  ['push', ['--dry-run']],
  ['attach', ['57']],
  ['rollback', []],
  ['rollback', ['--detach']],
  ['abort', []],
  ['promote', []],
  ['restart', []],
  ['scale', ['web=3']],
  ['stop', ['--detach']],
  ['start', []],
  ['lock', []],
  ['unlock', []],
  ['maintenance on', []],
  ['maintenance off', []],
  ['audit', []],
  ['metrics', []],
  ['env list', []],
  ['env unset', ['KEY', '--no-restart']],
  ['status', []],
  ['status', ['shop']],
  ['drain', []],
  ['releases', []],
  ['why', ['57']],
  ['logs', []],
  ['events', []],
  ['doctor', []],
  ['config check', []],
  ['config show', []],
  ['config show', ['--origin']],
  ['init', ['--dry-run']],
])('what %s %j prints fits its schema', async (verb, args) => {
  if (verb === 'drain') drainsOnce();
  const ran = await run(...verb.split(' '), ...args);
  expect(ran.code).toBe(0);
  expectLines(verb, ran);
});

/** An old release that is there when first looked at, and gone then. */
function drainsOnce(): void {
  const [stable] = app().generations;
  if (stable === undefined) throw new Error('the sample has a release');
  let looks = 0;
  agent.on('GET /v1/status', (_request, response) => {
    looks += 1;
    const old = { ...stable, release: R41, role: 'draining', websockets: 212, traffic: 0 };
    const generations = looks === 1 ? [stable, old] : [stable];
    const apps = [{ ...app(), generations }];
    json(response, 200, { schemaVersion: 1, agent: '0.1.0', apps, attention: [] });
  });
}

test('a failed deployment, an error and a verb that was left fit as well', async () => {
  agent.on('GET /v1/events', streams(storyOf(failedReceipt('probing', FAILURE))));
  const failed = await run('push');
  expect(failed.code).toBe(20);
  expectLines('push', failed);
  agent.on('GET /v1/apps/shop', refuses(404, 'ZDD_APP_UNKNOWN', 'no app shop'));
  agent.on('GET /v1/status', replies(statusReplyOf([])));
  for (const verb of ['status', 'attach']) {
    const refused = await run(verb, ...(verb === 'status' ? ['shop'] : []));
    expect(refused.code).toBe(2);
    expect(expectLines(verb, refused)).toMatchObject([{ error: { code: 'ZDD_APP_UNKNOWN' } }]);
  }
  validator('push')({ detached: { app: 'shop', deployment: 57 } });
  expect(validator('push').errors).toBe(null);
});

test('a schema refuses what a verb never prints', () => {
  for (const verb of VERBS_WITH_OUTPUT) {
    expect([verb, validator(verb)({ surprise: 1 })]).toEqual([verb, false]);
    expect([verb, validator(verb)([])]).toEqual([verb, false]);
  }
});

test('zdd-agent schema prints that of one verb, or all of them', async () => {
  const one = await cli(['schema', 'config show']);
  expect(JSON.parse(one.stdout)).toEqual(outputSchema('config show'));
  const all = await cli(['schema']);
  expect(JSON.parse(all.stdout)).toEqual(published);
  const none = await cli(['schema', 'sing']);
  expect(none.code).toBe(2);
  expect(none.stderr).toContain('there is no schema for "sing"');
});
