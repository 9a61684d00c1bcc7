import type { AgentOptions } from 'node:http';
import type { Duplex } from 'node:stream';
import { ZddError } from '../../../agent/protocol/errors.ts';
import type { Connection } from '../connection.ts';
import { overHttp } from '../over-http.ts';
import { ChannelSocket } from './channel-socket.ts';
import { type Link, type LinkOptions, openLink } from './link.ts';

const { Agent: HttpAgent } = process.getBuiltinModule('node:http');

/** The agent of another host: HTTP over channels of one SSH connection to its socket. */
export function sshConnection(options: LinkOptions): Connection {
  const link = openLink(options);
  const where = options.destination;
  const place: [string, string][] = [
    ['host', where],
    ['socket', options.socket],
  ];
  const pool = new ChannelAgent(link, { keepAlive: true });
  // Only looking may be repeated on a connection of which nobody knows whether it still stands.
  const fresh = new ChannelAgent(link, { keepAlive: false });
  return overHttp({
    where,
    canBeCut: true,
    reuses: true,
    ready: (signal) => link.ready(signal ?? new AbortController().signal),
    dial: (method) => ({ agent: method === 'GET' ? pool : fresh }),
    unreachable: (cause) =>
      link.lost() ??
      new ZddError('ZDD_AGENT_UNREACHABLE', 'the agent closed the connection', {
        evidence: place,
        tries: [`zdd-agent status --host ${where}`],
        cause,
      }),
    silent: (deadlineMs) =>
      new ZddError(
        'ZDD_AGENT_UNREACHABLE',
        `the agent did not answer within ${deadlineMs / 1_000} s`,
        { evidence: place, tries: [`ssh ${where} systemctl status zdd-agentd`] },
      ),
    notUnderstood: (request, why) =>
      new ZddError('ZDD_PROTOCOL_MISMATCH', 'what answers is not an agent this CLI understands', {
        evidence: [...place, ['request', request], ['why', why]],
        tries: ['zdd-agent --version'],
      }),
    close() {
      pool.destroy();
      fresh.destroy();
      link.close();
    },
  });
}

/** Gives node:http channels where it expects sockets, and keeps those that may be used again. */
class ChannelAgent extends HttpAgent {
  readonly #link: Link;

  constructor(link: Link, options: AgentOptions) {
    super(options);
    this.#link = link;
  }

  override createConnection(): Duplex {
    return new ChannelSocket(this.#link.channel());
  }
}
