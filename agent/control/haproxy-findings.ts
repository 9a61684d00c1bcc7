import { isMoving } from '../core/traffic.ts';
import { frontendsThatCut } from '../haproxy/config/idle-close.ts';
import type { Host } from '../pipeline/host.ts';
import { WORKERS_PACE } from '../pipeline/upkeep/workers.ts';
import type { Finding, StatusReply } from '../protocol/api.ts';
import { ZddError } from '../protocol/errors.ts';

/** What differs between the journal, haproxy.cfg and the running HAProxy, and who wins. */
export async function drift(host: Host, signal: AbortSignal): Promise<Finding[]> {
  const moving = host.journal.apps().some((app) => isMoving(host.journal.state(app)));
  try {
    const differences = await host.traffic.inspect(host, signal);
    const { failure } = host.drift;
    return [
      ...(moving ? [] : differences).map(({ what }) => different(host, what)),
      ...(failure === null ? [] : [unrepaired(failure)]),
    ];
  } catch (error) {
    return [
      error instanceof ZddError
        ? unrepaired(error)
        : unrepaired(new ZddError('ZDD_HAPROXY_DOWN', String(error))),
    ];
  }
}

function different(host: Host, what: string): Finding {
  const until = host.drift.restsUntil(what, host.now());
  if (until === null) {
    return {
      level: 'warning',
      code: 'ZDD_DRIFT',
      what,
      tries: ['zdd-agent doctor        the agent repairs it within seconds where it is safe'],
    };
  }
  const clock = new Date(until).toISOString().slice(11, 19);
  return {
    level: 'error',
    code: 'ZDD_DRIFT',
    what: `${what}; somebody else brings this back after each repair, and wins until ${clock} UTC: then the agent tries once more`,
    tries: ['zdd-agent events', 'ps -eo pid,user,args | grep -i haproxy'],
  };
}

/** Why HAProxy is not as it should be. */
function unrepaired({ code, message, evidence, tries }: ZddError): Finding {
  const details = evidence.map(([label, text]) => `${label}: ${text}`).join('; ');
  return {
    level: 'error',
    code,
    what: details === '' ? message : `${message} ${details}`,
    tries: tries.length > 0 ? [...tries] : ['systemctl status haproxy', 'zdd-agent doctor'],
  };
}

/** How many old workers stand; null when HAProxy does not answer. */
export async function oldWorkers(host: Host, signal: AbortSignal): Promise<StatusReply['haproxy']> {
  try {
    const { old, limit } = await host.proxy.oldWorkers(signal);
    return { oldWorkers: old.length, maxOldWorkers: limit };
  } catch {
    return null;
  }
}

/** As many workers as may stand: a reload of the agent's would have to wait. */
export async function crowdedWorkers(host: Host, signal: AbortSignal): Promise<Finding[]> {
  const workers = await oldWorkers(host, signal);
  if (workers == null || workers.oldWorkers < workers.maxOldWorkers) return [];
  return [
    {
      level: 'warning',
      code: 'ZDD_HAPROXY_TOO_MANY_WORKERS',
      what: `${workers.oldWorkers} old HAProxy workers hold connections from before a reload (limit ${workers.maxOldWorkers}): long ones of the oldest are closed at ${WORKERS_PACE} a second, and a reload of the agent's waits`,
      tries: [
        'zdd-agent events',
        'haproxy.max_old_workers in /etc/zdd-agent/agent.yaml allows more',
      ],
    },
  ];
}

/**
 * Frontends of the admin's whose clients a reload may cut off, the agent's own reloads included.
 * @param path where `text`, the `haproxy.cfg`, really stands
 * @param reload what puts a change of it in force, as it follows a command; may be empty
 */
export function cuttingFrontends(text: string, path: string, reload: string): Finding[] {
  const names = frontendsThatCut(text);
  if (names.length === 0) return [];
  const one = names.length === 1;
  const sections = names.map((name) => name.replaceAll(/[.*[\]^$/\\]/g, '\\$&')).join('|');
  return [
    {
      level: 'warning',
      code: 'haproxy_idle_close',
      what: `frontend${one ? '' : 's'} ${names.join(', ')} of yours ${one ? 'lacks' : 'lack'} option idle-close-on-response: at each reload, by whomever, a request that an idle keep-alive client sends at that moment is cut off (about 1 in 3,500 measured)`,
      tries: [
        `sudo sed -i --follow-symlinks -E 's/^\\s*(frontend|listen)\\s+(${sections})(\\s.*)?$/&\\n  option idle-close-on-response/' ${path}${reload}`,
      ],
    },
  ];
}
