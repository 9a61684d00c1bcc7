import { ZddError } from '../../protocol/errors.ts';
import type { ContractRun } from '../../store/contracts.ts';
import type { Host } from '../host.ts';

/**
 * A release that was made before one whose contract was run, or begun, would not find what it needs.
 * @throws ZDD_CONTRACT_CROSSED
 */
export function refuseAcrossContract(host: Host, app: string, release: string): void {
  const crossed = crossedBy(host, app, release);
  if (crossed === undefined) return;
  const { outcome, owner, at } = crossed;
  const said = outcome === 'ok' ? 'was run' : outcome === 'running' ? 'is running' : 'has begun';
  throw new ZddError(
    'ZDD_CONTRACT_CROSSED',
    `${release} was made before ${crossed.release}, whose contract ${said}: it may not find what it needs`,
    {
      evidence: [['contract', `by ${owner}, ${new Date(at).toISOString()}`]],
      traffic: 'untouched',
      tries: [
        'zdd-agent push        a release that mends what is wrong',
        `zdd-agent rollback ${release} --across-contract        when you know that it does; the audit keeps who said so`,
      ],
    },
  );
}

function crossedBy(host: Host, app: string, release: string): ContractRun | undefined {
  const number = host.releases.find(app, release)?.number ?? 0;
  return host.contracts.list(app).find((run) => run.number > number && run.release !== release);
}
