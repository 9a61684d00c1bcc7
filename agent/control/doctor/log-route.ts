import { stat } from 'node:fs/promises';
import type { Finding } from '../../protocol/api.ts';
import type { Daemon } from '../daemon.ts';
import { ask, error, notice, ok } from './finding.ts';

/** Whether what the agent and the apps say can be read, and will be after a reboot. */
export async function examineLogRoute(daemon: Daemon, signal: AbortSignal): Promise<Finding[]> {
  if (daemon.settings.current.runner !== 'systemd') return [];
  const { code, out, err } = await ask(
    'journalctl',
    // Of root, so that it is seen by members of systemd-journal only.
    ['--quiet', '--lines=1', '--output=cat', '_UID=0'],
    signal,
  );
  const findings: Finding[] = [];
  if (code !== 0 || out === '') {
    findings.push(
      error(
        'journal',
        `the agent cannot read the journal${err === '' ? '' : `: ${err.split('\n')[0]}`}; zdd-agent logs shows nothing`,
        'sudo systemctl restart systemd-journald',
        'id zdd        the unit adds the group systemd-journal',
      ),
    );
  }
  if (!(await isFolder('/var/log/journal'))) {
    findings.push(
      notice(
        'journal_volatile',
        'the journal is kept in memory: what the apps said is gone after a reboot',
        'sudo mkdir -p /var/log/journal && sudo systemd-tmpfiles --create --prefix /var/log/journal && sudo systemctl restart systemd-journald && sudo journalctl --flush',
      ),
    );
  }
  return findings.length > 0 ? findings : [ok('journal', 'the journal is readable and on disk')];
}

async function isFolder(path: string): Promise<boolean> {
  return await stat(path).then(
    (found) => found.isDirectory(),
    () => false,
  );
}
