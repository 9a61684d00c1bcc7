import type { Agent } from './connect/agent.ts';
import type { Interrupts } from './interrupt.ts';
import type { Screen } from './render/screen.ts';

/** The options that every verb takes. */
export interface Globals {
  readonly app: string | undefined;
  readonly socket: string | undefined;
  readonly json: boolean;
  readonly quiet: boolean;
  readonly color: boolean;
}

/** What a verb may use of the world around it. */
export interface Context {
  readonly globals: Globals;
  readonly screen: Screen;
  readonly interrupts: Interrupts;
  readonly cwd: string;
  /** The agent, not yet asked anything: the first request opens the way to it. */
  agent(): Promise<Agent>;
}

/** `--socket`, else `ZDD_SOCKET_PATH`, else the usual place. */
export async function openAgent(globals: Globals): Promise<Agent> {
  const [{ DEFAULT_SOCKET }, { localSocket }, { agentOver }] = await Promise.all([
    import('../agent/protocol/api.ts'),
    import('./connect/local-socket.ts'),
    import('./connect/agent.ts'),
  ]);
  const path = globals.socket ?? (process.env['ZDD_SOCKET_PATH'] || DEFAULT_SOCKET);
  return agentOver(localSocket(path));
}
