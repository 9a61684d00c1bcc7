import type { Policy } from '../../core/model.ts';
import type { AppConfig } from '../../protocol/app-config.ts';
import { holdOf } from '../../protocol/hold.ts';

/** What a wish says of its own about times. */
export interface PolicyWish {
  readonly bakeMs?: number | undefined;
  readonly probeTimeoutMs?: number | undefined;
  /** Another host of the fleet has run the release command already. */
  readonly releasedElsewhere?: boolean | undefined;
}

/** The times of a deployment of this release; what the wish says of its own wins. */
export function policyOf(
  config: AppConfig,
  { bakeMs, probeTimeoutMs, releasedElsewhere = false }: PolicyWish,
): Policy {
  const hold = holdOf(config);
  return {
    ...(releasedElsewhere && config.release?.per === 'fleet' ? { releasedElsewhere: true } : {}),
    probeWithinMs: probeTimeoutMs ?? config.processes['web']?.health?.within ?? 30_000,
    ...(config.shadow === undefined ? {} : { shadowMs: config.shadow.for }),
    bakeMs: bakeMs ?? config.bake,
    warmMs: config.warm,
    requestsMs: config.drain.requests,
    websocketsMs: config.drain.websockets,
    pacePerSecond: config.drain.pace,
    onSwitch: config.drain.on_switch,
    ...(hold === null ? {} : { holdMs: hold.within }),
    ...(config.sticky?.until === 'drain' ? { lingerMs: config.drain.websockets } : {}),
  };
}
