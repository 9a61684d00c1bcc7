import { expect, test } from 'vitest';
import type { ReleasesReply, StatusReply } from '../../../agent/protocol/api.ts';
import { ZddError } from '../../../agent/protocol/errors.ts';
import type { Context } from '../../../cli/context.ts';
import type { Answered } from '../../../cli/hosts/ask-all.ts';
import { type FleetHost, labelsOf } from '../../../cli/hosts/fleet.ts';
import { fleetReleaseLines } from '../../../cli/render/fleet-releases.ts';
import { fleetStatusLines } from '../../../cli/render/fleet-status.ts';
import { openScreen } from '../../../cli/render/screen.ts';
import { skewOf } from '../../../cli/render/version-skew.ts';
import { tooWide } from '../run-cli.ts';
import { AT, app, instance, R41, R42 } from '../samples.ts';

const screen = openScreen({ json: false, quiet: false, color: false });
const NOW = AT + 7_800_000;

function hosts(...names: string[]): FleetHost[] {
  const labels = labelsOf(names);
  return names.map((name, index) => {
    const context: Context = {
      isFirstHost: true,
      globals: {
        app: undefined,
        hosts: names,
        environment: undefined,
        socket: undefined,
        acceptNew: false,
        sshCommand: undefined,
        json: false,
        quiet: false,
        color: false,
      },
      screen,
      interrupts: { signal: new AbortController().signal, take: () => () => {} },
      cwd: '/',
      agent: () => Promise.reject(new Error('nobody is asked')),
      wayThere: () => ` --host ${name}`,
    };
    return { name, label: labels[index] ?? name, context };
  });
}

const says = <T>(host: FleetHost | undefined, answer: T): Answered<T> => {
  if (host === undefined) throw new Error('no such host');
  return { host, answer, error: null };
};
const isAway = (host: FleetHost | undefined): Answered<never> => {
  if (host === undefined) throw new Error('no such host');
  const error = new ZddError('ZDD_AGENT_UNREACHABLE', 'web3 takes no SSH connection on port 22', {
    tries: ['ssh deploy@web3.example.com true'],
  });
  return { host, answer: null, error: error.toBody(), exit: error.exit };
};

function status(changes: Partial<StatusReply> = {}): StatusReply {
  return { schemaVersion: 1, agent: '0.1.0', apps: [app()], attention: [], ...changes };
}

test.each([
  [
    ['deploy@web1.example.com', 'deploy@web2.example.com'],
    ['web1', 'web2'],
  ],
  [
    ['web1.a.com', 'web1.b.com'],
    ['web1.a.com', 'web1.b.com'],
  ],
  [
    ['me@10.0.0.1:2222', 'me@10.0.0.2:2222'],
    ['10.0.0.1:2222', '10.0.0.2:2222'],
  ],
  [
    ['a@web1', 'b@web1'],
    ['a@web1', 'b@web1'],
  ],
  [
    ['me@127.0.0.1:1', 'me@127.0.0.1:2'],
    ['127.0.0.1:1', '127.0.0.1:2'],
  ],
  [
    ['web1:1', 'web1:2'],
    ['web1:1', 'web1:2'],
  ],
  [
    ['me@[::1]:22', 'ssh://me@web2:22'],
    ['[::1]:22', 'web2'],
  ],
])('the hosts %j are called %j', (names, labels) => {
  expect(labelsOf(names)).toEqual(labels);
});

test('status of several hosts is one table, with what needs attention by host', () => {
  const [web1, web2, web3] = hosts(
    'deploy@web1.example.com',
    'deploy@web2.example.com',
    'deploy@web3.example.com',
  );
  const admin = app({ app: 'admin', live: 'r7-0c1d2e3', generations: [] });
  const answers = [
    says(web1, status({ apps: [app(), admin] })),
    says(
      web2,
      status({
        agent: '0.0.9',
        apps: [
          app({
            deployment: {
              id: 58,
              phase: 'baking',
              owner: 'deploy@laptop',
              startedAt: NOW - 40_000,
              release: 'r43-77e0d1a',
            },
          }),
        ],
        attention: [
          {
            level: 'warning',
            code: 'drift',
            what: 'haproxy.cfg was edited inside the managed region at 16:02',
            tries: ['zdd-agent doctor'],
          },
        ],
      }),
    ),
    isAway(web3),
  ];
  const lines = fleetStatusLines(screen, answers, {
    environment: 'production',
    now: NOW,
    cli: '0.1.0',
  });
  const text = lines.join('\n');
  expect(`\n${text}\n`).toMatchInlineSnapshot(`
    "
    production                                     3 hosts, agents 0.0.9 and 0.1.0

    app     host   live          traffic   instances             since    warm
    admin   web1   r7-0c1d2e3    –         –                     2h 10m   –
    shop    web1   r42-ab12cd3   100 %     web 2/2, worker 1/1   2h 10m   –
    shop    web2   r42-ab12cd3   100 %     web 2/2, worker 1/1   2h 10m   –
    –       web3   unreachable   –         –                     –        –

    deploying
      web2  shop #58 r43-77e0d1a baking, 40s, by deploy@laptop

    attention
      web2  agent 0.0.9, this CLI 0.1.0: update the agent
            haproxy.cfg was edited inside the managed region at 16:02
            Try: zdd-agent doctor --host deploy@web2.example.com
      web3  web3 takes no SSH connection on port 22
            Try: ssh deploy@web3.example.com true
    "
  `);
  expect(tooWide(text)).toEqual([]);
});

test('a table that would be too wide counts instances together', () => {
  const [one, two] = hosts('me@10.20.30.40:2222', 'me@10.20.30.41:2222');
  const shop = app({
    app: 'a-shop-with-a-long-name',
    generations: [
      {
        release: R42,
        deployment: 57,
        role: 'stable',
        traffic: 100,
        warmUntil: null,
        requests: 0,
        websockets: 0,
        instances: [
          instance('web', 1),
          { ...instance('web', 2), state: 'backing_off' },
          instance('worker', 1),
        ],
      },
    ],
  });
  const answers = [says(one, status({ apps: [shop] })), says(two, status({ apps: [shop] }))];
  const lines = fleetStatusLines(screen, answers, { environment: null, now: NOW, cli: '0.1.0' });
  expect(lines.slice(0, 5).join('\n')).toContain(' 2/3 ');
  expect(lines.join('\n')).not.toContain('web 1/2');
});

test('releases of several hosts say which of them have what, whatever each calls it', () => {
  const [web1, web2, web3] = hosts('web1.example.com', 'web2.example.com', 'web3.example.com');
  const release = (
    name: string,
    state: ReleasesReply['releases'][number]['state'],
    createdAt: number,
  ) => ({
    release: name,
    createdAt,
    bytes: 38_100_000,
    files: 1_204,
    state,
    source: './ (git 9f3c1e2, clean)',
  });
  const of = (...releases: ReleasesReply['releases']): ReleasesReply => ({
    schemaVersion: 1,
    app: 'shop',
    releases,
  });
  const answers = [
    says(web1, of(release(R42, 'live', AT), release(R41, 'warm', AT - 86_400_000))),
    says(web2, of(release('r9-ab12cd3', 'bad', AT + 60_000), release('r8-0c1d2e3', 'live', AT))),
    isAway(web3),
  ];
  const text = fleetReleaseLines(screen, answers, NOW).join('\n');
  expect(`\n${text}\n`).toMatchInlineSnapshot(`
    "
    shop                                                                   3 hosts

    release   age      size      web1       web2      web3   from
    ab12cd3   2h 09m   38.1 MB   r42 live   r9 bad    ?      ./ (git 9f3c1e2, cle…
    0c1d2e3   2h 10m   38.1 MB   r41 warm   r8 live   ?      ./ (git 9f3c1e2, cle…
    "
  `);
  expect(tooWide(text)).toEqual([]);
});

test.each([
  ['0.1.0', '0.1.0', []],
  ['0.9.0', '0.10.0', ['agent 0.10.0, this CLI 0.9.0: update this CLI']],
  ['1.0.0', '0.10.0', ['agent 0.10.0, this CLI 1.0.0: update the agent']],
])('CLI %s and agent %s: %j', (cli, agent, said) => {
  expect(skewOf(cli, agent).map(({ what }) => what)).toEqual(said);
});
