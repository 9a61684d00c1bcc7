import { ZddError } from '../../agent/protocol/errors.ts';
import { detect } from './detect/detect.ts';
import { readDockerfile } from './detect/dockerfile.ts';
import { NO_HEALTH } from './detect/source-code.ts';
import type { Project } from './project.ts';
import { NOTHING, type ProcessGuess, type Proposal } from './proposal.ts';

/**
 * What this project most likely needs.
 * @param run the line that starts it, when the user has said so
 * @throws ZDD_USAGE when nothing tells how it starts: a made-up `zdd.yaml` would help nobody
 */
export function propose(project: Project, run: string | undefined): Proposal {
  const { proposal, also } = detect(project);
  if (run !== undefined) return withRun(proposal, run);
  if (proposal === null || proposal.processes.length === 0) throw nothingStarts(project, proposal);
  if (also.length === 0) return proposal;
  return { ...proposal, checks: [`here is also ${also.join(', ')}: left out`, ...proposal.checks] };
}

/** What the user says wins over what was found; the rest of what was found still holds. */
function withRun(found: Proposal | null, run: string): Proposal {
  const socket = /\$\{?(ZDD_)?SOCKET\b/.test(run);
  const guessed = found?.processes.find(({ name }) => name === 'web');
  const web: ProcessGuess = {
    name: 'web',
    run: { value: run, why: '--run' },
    listen: socket
      ? { value: 'socket', why: '--run takes $SOCKET' }
      : /\$\{?PORT\b/.test(run)
        ? { value: 'port', why: '--run takes $PORT' }
        : (guessed?.listen ?? { value: 'port', why: 'a guess, see below' }),
    health: guessed?.health ?? NO_HEALTH,
    overlap: true,
  };
  const others = (found?.processes ?? []).filter(({ name }) => name !== 'web');
  if (found) return { ...found, processes: [web, ...others] };
  return {
    ...NOTHING,
    kind: 'command',
    what: 'the command of --run',
    from: ['--run'],
    sure: true,
    processes: [web],
    checks: ['the program must listen on $PORT (and $HOST), or on the socket $SOCKET'],
  };
}

function nothingStarts(project: Project, found: Proposal | null): ZddError {
  const dockerfile = readDockerfile(project);
  if (dockerfile !== null && found === null) {
    return new ZddError('ZDD_USAGE', 'a Dockerfile alone cannot be deployed', {
      evidence: [
        ['why', 'zdd-agent runs programs right on the host: no image is built, no container runs'],
        ...(dockerfile.command === null
          ? []
          : [['its command', dockerfile.command] satisfies [string, string]]),
        ['needed', 'the line that starts the app on a host that has what the image has'],
      ],
      tries: [`zdd-agent init --run ${quoted(dockerfile.command ?? 'COMMAND')}`],
    });
  }
  return new ZddError('ZDD_USAGE', 'found nothing that says how this project starts', {
    evidence: [
      ...(found === null
        ? []
        : [['found', `${found.what} (${found.from.join(', ')})`] satisfies [string, string]]),
      [
        'looked for',
        'Procfile, package.json (start, main), Python apps, config.ru, Rails, func main in Go, ' +
          'index.php, index.html',
      ],
    ],
    tries: ["zdd-agent init --run 'COMMAND'"],
  });
}

function quoted(line: string): string {
  return `'${line.replaceAll("'", "'\\''")}'`;
}
