import { access } from 'node:fs/promises';
import { join } from 'node:path';
import { wantedSlots } from '../../pipeline/instances.ts';
import type { Finding } from '../../protocol/api.ts';
import { provisionUnitOf, serviceOf } from '../../runner/systemd/unit-names.ts';
import type { Daemon } from '../daemon.ts';
import { ask, error, ok, warning } from './finding.ts';

/** Where the root step writes the units of the apps. */
const UNITS = '/etc/systemd/system';

/** What lets the agent do so. Its folder is closed to ordinary users on Debian 12. */
const RULE = '/usr/share/polkit-1/rules.d/50-zdd-agent.rules';

const DROP_INS = `${UNITS}/zdd-agentd.service.d`;

/** Started at boot, by these names. */
const AT_BOOT = ['zdd-agentd.service', 'zdd-apps.service', 'haproxy.service'] as const;

/**
 * An instance of an app that cannot exist (the name is longer than any app's), so that asking for
 * its end tells whether we may, and ends nothing: a refusal comes before "not loaded". Its start
 * would not tell: polkit's rule lets us start only what root has made.
 */
const NOBODY = 'zdd-app-doctor-asks-whether-it-may-stop-units@nothing.service';

/** systemd's part: what it starts at boot, what the agent may ask of it, whether it watches. */
export async function examineUnits(daemon: Daemon, signal: AbortSignal): Promise<Finding[]> {
  if (daemon.settings.current.runner !== 'systemd') return [];
  const findings = await Promise.all([
    atBoot(signal),
    permission(signal),
    templates(daemon),
    afterReboot(daemon),
  ]);
  return [...findings.flat(), ...watchdog()];
}

async function atBoot(signal: AbortSignal): Promise<Finding[]> {
  const asked = await Promise.all(
    AT_BOOT.map(async (unit) => ({
      unit,
      said: await ask('systemctl', ['is-enabled', unit], signal),
    })),
  );
  const off = asked.filter(({ said }) => said.code !== 0);
  if (off.length === 0) return [ok('units', `after a boot systemd starts ${AT_BOOT.join(', ')}`)];
  return off.map(({ unit, said: { out } }) =>
    error(
      'unit_not_enabled',
      `${unit} is not started after a boot (${out || 'unknown'})`,
      out === 'masked' ? `sudo systemctl unmask ${unit}` : `sudo systemctl enable ${unit}`,
    ),
  );
}

async function permission(signal: AbortSignal): Promise<Finding[]> {
  const { code, err } = await ask('systemctl', ['--no-ask-password', 'stop', NOBODY], signal);
  if (code === 5) return [ok('polkit', 'the agent may start and stop units of its apps')];
  return [
    error(
      'polkit',
      `the agent may not start units of its apps: ${err.split('\n')[0] ?? ''}`,
      `sudo chmod 644 ${RULE} && sudo systemctl restart polkit`,
      `sudo ls -l ${RULE}        missing: install zdd-agent again`,
    ),
  ];
}

async function templates({ host }: Daemon): Promise<Finding[]> {
  const missing: string[] = [];
  for (const app of host.journal.apps()) {
    if (host.journal.state(app).stable === null) continue;
    if (!(await isThere(join(UNITS, `zdd-app-${app}@.service`)))) missing.push(app);
  }
  return missing.map((app) =>
    error(
      'app_unit_missing',
      `the unit of ${app} is missing: its instances cannot be started again`,
      `sudo systemctl start ${provisionUnitOf(app)}`,
    ),
  );
}

/** What `zdd-apps.service` starts is read off a folder of the agent, not off its journal. */
async function afterReboot({ host }: Daemon): Promise<Finding[]> {
  const missing: string[] = [];
  for (const app of host.journal.apps()) {
    const state = host.journal.state(app);
    const { stable, deployment } = state;
    if (stable === null || deployment?.phase.name === 'stopping') continue;
    for (const { spec } of wantedSlots(host, state, stable)) {
      const unit = serviceOf(spec.slot);
      if (!(await isThere(join(host.layout.stateDir, 'active', unit)))) missing.push(unit);
    }
  }
  return missing.map((unit) =>
    error(
      'not_active_after_boot',
      `${unit} would not be started after a boot`,
      'sudo systemctl restart zdd-agentd        no app is stopped by that',
    ),
  );
}

function watchdog(): Finding[] {
  if (process.env['NOTIFY_SOCKET'] === undefined) return [];
  const usec = Number(process.env['WATCHDOG_USEC'] ?? 0);
  if (usec > 0) return [ok('watchdog', `systemd restarts an agent that hangs for ${usec / 1e6} s`)];
  return [
    warning(
      'watchdog',
      'systemd does not watch the agent: WatchdogSec is 0',
      `sudo mkdir -p ${DROP_INS} && printf '[Service]\\nWatchdogSec=30\\n' | sudo tee ${DROP_INS}/zz-watchdog.conf && sudo systemctl daemon-reload && sudo systemctl restart zdd-agentd`,
      'systemctl cat zdd-agentd        the unit says WatchdogSec=30; what takes it away?',
    ),
  ];
}

async function isThere(path: string): Promise<boolean> {
  return await access(path).then(
    () => true,
    () => false,
  );
}
