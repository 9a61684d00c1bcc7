import type { Finding } from '../../protocol/api.ts';
import type { Daemon } from '../daemon.ts';
import { examineConfigFile } from './config-file.ts';
import { warning } from './finding.ts';
import { examineFolders } from './folders.ts';
import { examineHaproxy } from './haproxy.ts';
import { examineLogRoute } from './log-route.ts';
import { examineMachine } from './machine.ts';
import { examineState } from './state.ts';
import { examineUnits } from './units.ts';

type Part = readonly [
  name: string,
  look: (daemon: Daemon, signal: AbortSignal) => Promise<Finding[]>,
];

/** Everything a deploy depends on, in the order in which it matters. */
const PARTS: readonly Part[] = [
  ['HAProxy', examineHaproxy],
  ['haproxy.cfg', examineConfigFile],
  ['apps and traffic', examineState],
  ['units', examineUnits],
  ['folders', examineFolders],
  ['machine', examineMachine],
  ['log', examineLogRoute],
];

/** Looks at everything a deploy depends on. Changes nothing. */
export async function examine(daemon: Daemon, signal: AbortSignal): Promise<Finding[]> {
  const found = await Promise.all(
    PARTS.map(([name, look]) =>
      look(daemon, signal).catch((cause: unknown) => [
        warning(
          'not_examined',
          `${name} could not be examined: ${cause instanceof Error ? cause.message : String(cause)}`,
          'zdd-agent doctor',
        ),
      ]),
    ),
  );
  return found.flat();
}
