import type { Finding } from '../../protocol/api.ts';
import { ask, ok, warning } from './finding.ts';

const DROP_INS = '/etc/systemd/system/haproxy.service.d';

/** Whether systemd starts a HAProxy that died again, however often that happens. */
export async function examineStartLimit(signal: AbortSignal): Promise<Finding[]> {
  const properties = ['Restart', 'StartLimitIntervalUSec', 'StartLimitBurst'];
  const { code, out } = await ask(
    'systemctl',
    ['show', `--property=${properties.join(',')}`, 'haproxy.service'],
    signal,
  );
  const said = new Map(out.split('\n').map((line) => line.split('=', 2) as [string, string]));
  const [restart, within, times] = properties.map((name) => said.get(name));
  if (code !== 0 || restart === undefined || within === undefined) return [];
  if (restart === 'always' && within === '0') {
    return [ok('haproxy_start_limit', 'systemd starts a HAProxy that died again, however often')];
  }
  const unlimited = 'StartLimitIntervalSec=0\\n[Service]\\nRestart=always';
  return [
    warning(
      'haproxy_start_limit',
      restart === 'always'
        ? `systemd leaves a HAProxy down that died ${times} times within ${within}: every app is down then, until somebody starts it`
        : `systemd does not start a HAProxy again that died (Restart=${restart}): every app is down then`,
      `sudo mkdir -p ${DROP_INS} && printf '[Unit]\\n${unlimited}\\n' | sudo tee ${DROP_INS}/zz-start-limit.conf >/dev/null && sudo systemctl daemon-reload`,
    ),
  ];
}
