import { DEFAULT_SOCKET } from '../../agent/protocol/contact.ts';
import type { Globals } from '../context.ts';
import { UsageError } from '../usage-error.ts';

/** Where an agent is. */
export type Place =
  | { readonly kind: 'local'; readonly socket: string }
  | { readonly kind: 'ssh'; readonly destination: string; readonly socket: string };

/** The hosts that a command is for, and what to type to mean them again. */
export interface Places {
  readonly all: readonly [Place, ...Place[]];
  /** Of `zdd.yaml`; null when the hosts were given otherwise. */
  readonly environment: string | null;
  /** Options that lead to one of them from here, with a space before; empty when none is needed. */
  wordsFor(place: Place): string;
}

/**
 * `--host`, else `-e`, else `--socket` or `ZDD_SOCKET_PATH` on this machine, else the environments
 * of the nearest `zdd.yaml`, else the usual socket on this machine.
 * @param cwd where the search for `zdd.yaml` begins
 * @throws UsageError for options that contradict each other; as `readEnvironment`
 */
export async function findPlaces(
  globals: Globals,
  cwd: string,
  signal: AbortSignal,
): Promise<Places> {
  const { hosts, environment, socket } = globals;
  const [firstHost] = hosts;
  if (firstHost !== undefined && environment !== undefined) {
    throw new UsageError('--host and --environment: only one of them can say where', [
      `zdd-agent ... -e ${environment}`,
      `zdd-agent ... --host ${firstHost}`,
    ]);
  }
  const far = socket ?? DEFAULT_SOCKET;
  if (firstHost !== undefined) return overSsh(globals, hosts, far, null);
  const here = socket ?? (process.env['ZDD_SOCKET_PATH'] || undefined);
  if (environment === undefined && here !== undefined) return onThisMachine(globals, here);
  const { readEnvironment } = await import('./environment.ts');
  const found = await readEnvironment(cwd, environment, signal);
  return found === null
    ? onThisMachine(globals, DEFAULT_SOCKET)
    : overSsh(globals, found.hosts, far, found.name);
}

function onThisMachine(globals: Globals, socket: string): Places {
  return {
    all: [{ kind: 'local', socket }],
    environment: null,
    wordsFor: () => socketWords(globals),
  };
}

function overSsh(
  globals: Globals,
  hosts: readonly string[],
  socket: string,
  environment: string | null,
): Places {
  const [first, ...others] = [...new Set(hosts)].map((destination) => ({
    kind: 'ssh' as const,
    destination,
    socket,
  }));
  if (first === undefined) throw new UsageError('there is no host to go to');
  return {
    all: [first, ...others],
    environment,
    wordsFor(place) {
      const several = others.length > 0;
      const host =
        place.kind === 'ssh' && (several || environment === null)
          ? ` --host ${place.destination}`
          : environment !== null && globals.environment !== undefined
            ? ` -e ${environment}`
            : '';
      return `${host}${socketWords(globals)}${sshCommandWords(globals)}`;
    },
  };
}

/** The same, while it is not known yet where a command leads: what was typed. */
export function typedWords(globals: Globals): string {
  const { hosts, environment } = globals;
  return [
    ...hosts.map((host) => ` --host ${host}`),
    environment === undefined ? '' : ` -e ${environment}`,
    socketWords(globals),
    sshCommandWords(globals),
  ].join('');
}

function socketWords({ socket }: Globals): string {
  return socket === undefined ? '' : ` --socket ${socket}`;
}

function sshCommandWords({ sshCommand }: Globals): string {
  if (sshCommand === undefined) return '';
  return sshCommand === 'ssh' ? ' --ssh-command' : ` --ssh-command='${sshCommand}'`;
}

/** For people and for `--json`: the host as it was named. */
export function nameOf(place: Place): string {
  return place.kind === 'ssh' ? place.destination : place.socket;
}
