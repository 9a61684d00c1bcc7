import type { Page } from './page.ts';
import { EXIT_STATUS } from './zdd-agent.ts';

/** zdd-agentd(8). */
export const ZDD_AGENTD: Page = {
  name: 'zdd-agentd',
  section: 8,
  summary: 'deploy web apps without a lost request, the daemon',
  synopsis: [
    'zdd-agentd [--config FILE]',
    'zdd-agentd check [--config FILE]',
    'zdd-agentd config check [--config FILE]',
    'zdd-agentd haproxy render --file FILE [--config FILE]',
    'zdd-agentd haproxy cuts --file FILE',
  ],
  sections: [
    [
      'DESCRIPTION',
      [
        {
          kind: 'text',
          text: 'zdd-agentd takes releases over its socket, starts their instances, moves the traffic of HAProxy to them, watches them and goes back when they fail. On a host it is the unit zdd-agentd.service and runs as the user zdd. The apps are units of their own: they run on while it is stopped, restarted or upgraded, and after a reboot they start without it.',
        },
      ],
    ],
    [
      'COMMANDS',
      [
        { kind: 'term', term: 'zdd-agentd', text: 'Runs in the foreground.' },
        {
          kind: 'term',
          term: 'check',
          text: 'Says what a start would find: configuration and database. Changes nothing.',
        },
        { kind: 'term', term: 'config check', text: 'The configuration alone. Changes nothing.' },
        {
          kind: 'term',
          term: 'haproxy render',
          text: 'Prints the haproxy.cfg given by --file with the managed region at its end, or as it is when it has one. Changes nothing.',
        },
        {
          kind: 'term',
          term: 'haproxy cuts',
          text: 'Prints the names of the HTTP frontends of the haproxy.cfg given by --file that lack option idle-close-on-response: at a reload a request that an idle client of theirs sends at that moment may be cut off. Changes nothing.',
        },
      ],
    ],
    [
      'OPTIONS',
      [
        {
          kind: 'term',
          term: '--config FILE',
          text: 'The configuration; default /etc/zdd-agent/agent.yaml. A missing file means all defaults.',
        },
        { kind: 'term', term: '--help', text: 'Print what it can do.' },
        { kind: 'term', term: '--version', text: 'Print the version.' },
      ],
    ],
    [
      'SIGNALS',
      [
        {
          kind: 'term',
          term: 'SIGHUP',
          text: 'Reads the configuration again and keeps the old one when the new one is wrong: systemctl reload zdd-agentd.',
        },
        {
          kind: 'term',
          term: 'SIGTERM, SIGINT',
          text: 'Ends the daemon. Its apps run on; a deployment goes on with the next start.',
        },
      ],
    ],
    ['EXIT STATUS', EXIT_STATUS],
    [
      'FILES',
      [
        { kind: 'term', term: '/etc/zdd-agent/agent.yaml', text: 'Configuration.' },
        {
          kind: 'term',
          term: '/etc/haproxy/haproxy.cfg',
          text: 'HAProxy. The agent writes between its two marker lines and keeps every other byte.',
        },
        {
          kind: 'term',
          term: '/var/lib/zdd-agent/',
          text: 'Database, artifacts, and the folders of the apps.',
        },
        { kind: 'term', term: '/run/zdd-agent/agent.sock', text: 'Its socket, for the group zdd.' },
        {
          kind: 'term',
          term: '/usr/share/doc/zdd-agent/',
          text: 'Installation, operations, security, every error and what to do about it.',
        },
      ],
    ],
    ['SEE ALSO', [{ kind: 'text', text: 'zdd-agent(1), haproxy(1), systemctl(1), journalctl(1)' }]],
  ],
};
