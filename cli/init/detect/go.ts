import type { Project } from '../project.ts';
import { NOTHING, type Proposal } from '../proposal.ts';
import { findIn, guessHealth, guessListen, guessShared, sourcesOf } from './source-code.ts';

/** Go, by `go.mod`: what runs is the binary that was built before the push. */
export function detectGo(project: Project): Proposal | null {
  const manifest = project.read('go.mod');
  if (manifest === null) return null;
  const sources = sourcesOf(project, ['go']);
  const mains = sources.filter((path) =>
    /^package main\b[\s\S]*^func main\(/m.test(project.read(path) ?? ''),
  );
  const main = mains.find((path) => /(^|\/)(server|web|api|app)\b/.test(path)) ?? mains[0];
  const name = main === undefined ? '' : binaryOf(main, manifest);
  const listen = guessListen(project, sources);
  const gin =
    listen.checks.length > 0 &&
    !listen.why.endsWith('$PORT') &&
    findIn(project, sources, /gin-gonic\/gin/);
  return {
    ...NOTHING,
    kind: 'go',
    what: 'Go',
    from: ['go.mod'],
    sure: main !== undefined,
    processes:
      main === undefined
        ? []
        : [
            {
              name: 'web',
              run: { value: `bin/${name}`, why: `func main in ${main}` },
              listen: gin ? { value: 'port', why: 'gin reads $PORT' } : listen,
              health: guessHealth(project, sources),
              overlap: true,
            },
          ],
    shared: guessShared(project),
    prepare:
      main === undefined
        ? []
        : [`CGO_ENABLED=0 GOOS=linux GOARCH=amd64 go build -o bin/${name} ${packageOf(main)}`],
    ignore: ['*.go', 'go.mod', 'go.sum', 'vendor/'],
    checks: [
      ...(gin ? [] : listen.checks),
      ...(mains.length > 1
        ? [`several programs: ${mains.join(', ')}; is ${main} the web one?`]
        : []),
      'the host runs what was built: GOARCH must be its architecture (uname -m)',
    ],
  };
}

/** `gate` of `module github.com/acme/gate/v2`. */
export function moduleName(manifest: string): string {
  const path = /^module\s+(\S+)/m.exec(manifest)?.[1] ?? '';
  const parts = path.split('/').filter((part) => !/^v\d+$/.test(part));
  return parts.at(-1) ?? '';
}

/** `cmd/server/main.go` makes `server`; a `main.go` at the top the last part of the module. */
function binaryOf(main: string, manifest: string): string {
  return main.split('/').at(-2) ?? (moduleName(manifest) || 'app');
}

function packageOf(main: string): string {
  const folder = main.split('/').slice(0, -1).join('/');
  return folder === '' ? '.' : `./${folder}`;
}
