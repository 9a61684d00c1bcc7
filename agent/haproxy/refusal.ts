import { ZddError } from '../protocol/errors.ts';

/** Why HAProxy refused a command, as far as the agent acts on it. */
export type Refusal =
  | 'no_such_server'
  | 'no_such_backend'
  | 'no_such_session'
  | 'no_such_map'
  | 'no_such_worker'
  | 'still_connected'
  | 'not_in_maintenance'
  | 'already_there'
  | 'proxy_disabled'
  | 'no_permission'
  | 'unknown_command'
  | 'other';

/** The texts of HAProxy 2.6 to 3.x: the Runtime API has no status codes. */
const TEXTS: ReadonlyArray<readonly [RegExp, Refusal]> = [
  [/^No such server/, 'no_such_server'],
  [/^(No such (backend|proxy)|Can't find backend)/, 'no_such_backend'],
  [/^(No such session|Session not found)/, 'no_such_session'],
  [/^Unknown map identifier/, 'no_such_map'],
  [/^Can't find the target PID/, 'no_such_worker'],
  [/^Server still has connections attached/, 'still_connected'],
  [/^Only servers in maintenance mode can be deleted/, 'not_in_maintenance'],
  [/^Already exists a server with the same name/, 'already_there'],
  [/^Proxy is disabled/, 'proxy_disabled'],
  [/^Permission denied/, 'no_permission'],
  [/^Unknown command/, 'unknown_command'],
];

/** Reads HAProxy's error text. */
export function refusalOf(answer: string): Refusal {
  return TEXTS.find(([pattern]) => pattern.test(answer))?.[1] ?? 'other';
}

/** A command that HAProxy answered with an error text. */
export class CommandRefused extends ZddError {
  readonly refusal: Refusal;

  constructor(command: string, answer: string) {
    const refusal = refusalOf(answer);
    const said = answer.split('\n', 1)[0] ?? '';
    super('ZDD_HAPROXY_COMMAND', `HAProxy refused a command: ${said}`, {
      evidence: [
        ['command', command],
        ['HAProxy says', said],
      ],
      tries: refusal === 'no_permission' ? ["grep 'stats socket' /etc/haproxy/haproxy.cfg"] : [],
    });
    this.refusal = refusal;
  }
}

/** The error for a command and the text HAProxy answered it with. Code: ZDD_HAPROXY_COMMAND. */
export function commandError(command: string, answer: string): CommandRefused {
  return new CommandRefused(command, answer);
}
