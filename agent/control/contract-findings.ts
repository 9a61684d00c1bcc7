import { standingRelease } from '../core/model.ts';
import type { Host } from '../pipeline/host.ts';
import type { Finding } from '../protocol/api.ts';

/** Contracts of live releases that did not come to a good end. */
export function failedContracts(host: Host): Finding[] {
  return host.journal.apps().flatMap((app): Finding[] => {
    const release = standingRelease(host.journal.state(app));
    const [last] = host.contracts.list(app);
    if (last === undefined || last.release !== release || last.outcome !== 'failed') return [];
    return [
      {
        level: 'error',
        code: 'contract_failed',
        what: `${app}: the contract of ${release} failed: ${last.detail.split('\n')[0]}`,
        tries: [
          `zdd-agent events --app ${app}`,
          `zdd-agent contract --app ${app}        once it is mended`,
        ],
      },
    ];
  });
}
