import type { AgentOptions } from 'node:http';
import type { Duplex } from 'node:stream';
import type { ClientChannel } from 'ssh2';
import { ZddError } from '../../../agent/protocol/errors.ts';
import type { Connection } from '../connection.ts';
import { overHttp } from '../http/over-http.ts';
import { ChannelSocket } from './channel-socket.ts';
import type { Link, LinkOptions } from './link.ts';

const { Agent: HttpAgent } = process.getBuiltinModule('node:http');

/** The agent of another host: HTTP over channels of one SSH connection to its socket. */
export function sshConnection(options: LinkOptions): Connection {
  let link: Link | undefined;
  const where = options.destination;
  const place: [string, string][] = [
    ['host', where],
    ['socket', options.socket],
  ];
  const channel = async (): Promise<ClientChannel> => {
    if (link === undefined) throw new Error('a channel was asked for before the connection');
    return await link.channel();
  };
  const pool = new ChannelAgent(channel, { keepAlive: true });
  // Only looking may be repeated on a connection of which nobody knows whether it still stands.
  const fresh = new ChannelAgent(channel, { keepAlive: false });
  return overHttp({
    where,
    canBeCut: true,
    reuses: true,
    async ready(signal, idle) {
      if (link === undefined) {
        // SSH takes longer to load than what is said before it is needed.
        const { openLink } = await import('./link.ts');
        link ??= openLink(options);
      }
      await link.ready(signal ?? new AbortController().signal, idle);
    },
    dial: (method) => ({ agent: method === 'GET' ? pool : fresh }),
    unreachable: (cause) =>
      link?.lost() ??
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
      link?.close();
    },
  });
}

/** Gives node:http channels where it expects sockets, and keeps those that may be used again. */
class ChannelAgent extends HttpAgent {
  readonly #channel: () => Promise<ClientChannel>;

  constructor(channel: () => Promise<ClientChannel>, options: AgentOptions) {
    super(options);
    this.#channel = channel;
  }

  override createConnection(): Duplex {
    return new ChannelSocket(this.#channel());
  }
}
