import { statfs } from 'node:fs/promises';
import type { Host } from '../pipeline/host.ts';
import type { Finding } from '../protocol/api.ts';
import { attention } from './status.ts';

const GIB = 1024 ** 3;

/** Looks at everything a deploy depends on. Changes nothing. */
export async function examine(host: Host, signal: AbortSignal): Promise<Finding[]> {
  return [...(await haproxy(host, signal)), ...(await disk(host)), ...(await state(host, signal))];
}

async function haproxy(host: Host, signal: AbortSignal): Promise<Finding[]> {
  try {
    const { version, pid, oldWorkers } = await host.proxy.info(signal);
    const ok: Finding = {
      level: 'ok',
      code: 'haproxy',
      what: `HAProxy ${version} answers (pid ${pid})`,
      tries: [],
    };
    if (oldWorkers < 5) return [ok];
    return [
      ok,
      {
        level: 'notice',
        code: 'haproxy_old_workers',
        what: `${oldWorkers} old HAProxy workers still serve long connections`,
        tries: ['zdd-agent status'],
      },
    ];
  } catch (error) {
    return [
      {
        level: 'error',
        code: 'ZDD_HAPROXY_DOWN',
        what: error instanceof Error ? error.message : String(error),
        tries: ['systemctl status haproxy', 'journalctl -u haproxy -n 50'],
      },
    ];
  }
}

async function disk(host: Host): Promise<Finding[]> {
  const { bavail, bsize } = await statfs(host.layout.stateDir);
  const free = bavail * bsize;
  const what = `${(free / GIB).toFixed(1)} GiB free in ${host.layout.stateDir}`;
  return [
    free < host.limits.reserveBytes * 2
      ? { level: 'warning', code: 'disk', what, tries: ['zdd-agent releases', 'df -h'] }
      : { level: 'ok', code: 'disk', what, tries: [] },
  ];
}

async function state(host: Host, signal: AbortSignal): Promise<Finding[]> {
  const findings = await attention(host, signal);
  if (findings.length > 0) return findings;
  const apps = host.journal.apps().length;
  return [
    {
      level: 'ok',
      code: 'state',
      what: `journal, haproxy.cfg and HAProxy agree on ${apps} app${apps === 1 ? '' : 's'}`,
      tries: [],
    },
  ];
}
