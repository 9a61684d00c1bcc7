import { DEFAULT_SOCKET } from '../../agent/protocol/contact.ts';
import { ZddError } from '../../agent/protocol/errors.ts';

const START = ['sudo systemctl start zdd-agentd', 'journalctl -u zdd-agentd -n 50'];

/** Every way in which an agent on a local socket can be out of reach, and how to mend it. */
export function unreachable(path: string, cause: unknown): ZddError {
  const errno = errnoOf(cause);
  // Another socket is another daemon, and systemd does not know how it was started.
  const start = path === DEFAULT_SOCKET ? START : [`zdd-agent status --socket ${DEFAULT_SOCKET}`];
  switch (errno) {
    case 'ENOENT':
      return new ZddError('ZDD_AGENT_UNREACHABLE', 'there is no agent here: no such socket', {
        evidence: [['socket', path]],
        tries: start,
        cause,
      });
    case 'ECONNREFUSED':
      return new ZddError('ZDD_AGENT_UNREACHABLE', 'the agent is not running: nothing listens', {
        evidence: [['socket', path]],
        tries: start,
        cause,
      });
    case 'EACCES':
    case 'EPERM':
      return new ZddError('ZDD_AGENT_UNREACHABLE', 'you may not use the socket of the agent', {
        evidence: [
          ['socket', path],
          ['who may', 'root and members of the group zdd; after joining, log in again'],
        ],
        tries: ['sudo usermod -aG zdd "$USER"'],
        cause,
      });
    case 'ECONNRESET':
    case 'EPIPE':
      return new ZddError('ZDD_AGENT_UNREACHABLE', 'the agent closed the connection', {
        evidence: [['socket', path]],
        tries: ['zdd-agent status', ...start],
        cause,
      });
    default:
      return new ZddError('ZDD_AGENT_UNREACHABLE', 'the agent cannot be reached', {
        evidence: [
          ['socket', path],
          ['why', cause instanceof Error ? cause.message : String(cause)],
        ],
        tries: start,
        cause,
      });
  }
}

/** The agent took the connection and then said nothing. */
export function silent(path: string, deadlineMs: number): ZddError {
  return new ZddError(
    'ZDD_AGENT_UNREACHABLE',
    `the agent did not answer within ${deadlineMs / 1_000} s`,
    {
      evidence: [['socket', path]],
      tries: ['systemctl status zdd-agentd', 'journalctl -u zdd-agentd -n 50'],
    },
  );
}

/** What answers is not an agent, or not one that this CLI understands. */
export function notUnderstood(path: string, request: string, why: string): ZddError {
  return new ZddError(
    'ZDD_PROTOCOL_MISMATCH',
    'what answers is not an agent this CLI understands',
    {
      evidence: [
        ['socket', path],
        ['request', request],
        ['why', why],
      ],
      tries: ['zdd-agent --version'],
    },
  );
}

function errnoOf(cause: unknown): string | undefined {
  if (cause instanceof Error && 'code' in cause && typeof cause.code === 'string') {
    return cause.code;
  }
  return undefined;
}
