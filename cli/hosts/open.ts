import type { Agent } from '../connect/agent.ts';
import type { Connection } from '../connect/connection.ts';
import type { Globals } from '../context.ts';
import type { Screen } from '../render/screen.ts';
import type { Place } from './places.ts';

/** The agent of a place, not asked anything yet. What SSH needs is loaded only for SSH. */
export async function openAgent(place: Place, globals: Globals, screen: Screen): Promise<Agent> {
  const [{ agentOver }, connection] = await Promise.all([
    import('../connect/agent-over.ts'),
    connectTo(place, globals, screen),
  ]);
  return agentOver(connection);
}

async function connectTo(place: Place, globals: Globals, screen: Screen): Promise<Connection> {
  if (place.kind === 'local') {
    const { localSocket } = await import('../connect/local-socket.ts');
    return localSocket(place.socket);
  }
  const { destination, socket } = place;
  const { acceptNew, sshCommand: program } = globals;
  if (program !== undefined) {
    const { systemSshConnection } = await import('../connect/ssh/system-ssh.ts');
    return systemSshConnection({ destination, socket, acceptNew, program });
  }
  const { sshConnection } = await import('../connect/ssh/ssh-connection.ts');
  const onNewKey = (line: string) => screen.note(`(${line})`);
  return sshConnection({ destination, socket, acceptNew, onNewKey });
}
