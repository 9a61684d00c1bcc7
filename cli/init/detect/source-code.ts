import type { Project } from '../project.ts';
import type { Guess, Listen, SharedGuess } from '../proposal.ts';

/** Enough to find what a project says about itself; the entry of an app lies near the top. */
const MAX_READ = 300;

/** Where nothing tells about the running app. */
const ASIDE =
  /(^|\/)(tests?|specs?|__tests__|examples?|docs?|fixtures|scripts|e2e|bin)\/|[._-](test|spec)\.|(^|\/)test_/;

/** The sources with these extensions, those near the top first. */
export function sourcesOf(project: Project, extensions: readonly string[]): string[] {
  return project.files
    .filter((path) => extensions.some((extension) => path.endsWith(`.${extension}`)))
    .filter((path) => !ASIDE.test(path))
    .sort((a, b) => depthOf(a) - depthOf(b) || (a < b ? -1 : 1))
    .slice(0, MAX_READ);
}

/** The first of `paths` whose text matches, with what matched. */
export function findIn(
  project: Project,
  paths: readonly string[],
  pattern: RegExp,
): { readonly path: string; readonly match: RegExpExecArray } | null {
  for (const path of paths) {
    const match = pattern.exec(project.read(path) ?? '');
    if (match) return { path, match };
  }
  return null;
}

/** `process.env.PORT`, `ENV["PORT"]`, `os.environ.get('PORT')`, `os.Getenv("PORT")`, `$_ENV['PORT']`. */
function reads(variable: string): RegExp {
  return new RegExp(
    `(?:\\benv|ENV|environ|[gG]etenv|LookupEnv)(?:\\.get|\\.fetch)?\\s*(?:\\??\\.\\s*|[\\[(]\\s*["'\`])(?:${variable})\\b`,
  );
}

export interface ListenGuess {
  readonly value: Listen;
  readonly why: string;
  /** What to change when the code does not listen where it is told. */
  readonly checks: readonly string[];
}

/** Where code listens, by the variables it reads. */
export function guessListen(project: Project, paths: readonly string[]): ListenGuess {
  const socket = findIn(project, paths, reads('ZDD_SOCKET|SOCKET'));
  if (socket) return { value: 'socket', why: `${socket.path} reads $SOCKET`, checks: [] };
  const fd = findIn(project, paths, reads('LISTEN_FDS'));
  if (fd) return { value: 'fd', why: `${fd.path} reads $LISTEN_FDS`, checks: [] };
  const port = findIn(project, paths, reads('PORT'));
  if (port) {
    const checks = findIn(project, [port.path], reads('HOST'))
      ? []
      : [`${port.path}: listen on $HOST (127.0.0.1), or the port is open to the world`];
    return { value: 'port', why: `${port.path} reads $PORT`, checks };
  }
  const fixed = findIn(project, paths, /\.listen\(\s*(\d{2,5})\b|\bport\s*[:=]\s*(\d{4,5})\b/i);
  if (fixed) {
    const number = fixed.match[1] ?? fixed.match[2];
    return {
      value: 'port',
      why: 'a guess, see below',
      checks: [`${fixed.path} seems to listen on ${number}: it must listen on $PORT (and $HOST)`],
    };
  }
  return {
    value: 'port',
    why: 'a guess, see below',
    checks: ['found nothing that reads $PORT or $SOCKET: the app must listen where it is told'],
  };
}

/** Paths that apps answer with their health. */
const HEALTH_NAMES = 'healthz|health|readyz|ready|livez|up|ping';

/** The path of a health route that is in the code, else `/`. */
export function guessHealth(project: Project, paths: readonly string[]): Guess {
  const routes = new RegExp(`["'\`]/?((?:api/|_)?(?:${HEALTH_NAMES}))/?["'\`]`);
  const found = findIn(project, paths, routes);
  if (found) return { value: `/${found.match[1]}`, why: `a route of ${found.path}` };
  return NO_HEALTH;
}

/** Asked when nothing better is known. */
export const NO_HEALTH: Guess = { value: '/', why: 'must answer 200: no redirect, no login' };

/** A health route of a framework whose routes are files: `src/routes/healthz/+server.ts`. */
export function healthFile(project: Project): Guess | null {
  const routes = new RegExp(
    `^(?:src/)?(?:app|pages|routes|server/routes|server)/((?:api/)?(?:${HEALTH_NAMES}))(?:/(?:route|\\+server|index))?\\.(?:get\\.)?[jt]sx?$`,
  );
  for (const path of project.files) {
    const found = routes.exec(path);
    if (found) return { value: `/${found[1]}`, why: path };
  }
  return null;
}

/** Files and folders that the running app writes to, as far as names tell. */
export function guessShared(project: Project): SharedGuess[] {
  const shared: SharedGuess[] = [];
  for (const folder of ['uploads', 'media', 'public/uploads']) {
    if (project.files.some((path) => path.startsWith(`${folder}/`))) {
      shared.push({ value: `${folder}/`, why: 'a release is read-only', travels: false });
    }
  }
  const database = project.files.find((path) => /\.(sqlite3?|db)$/.test(path));
  if (database) {
    shared.push({ value: database, why: 'a database outlives releases', travels: false });
  }
  if (project.files.some((path) => /^\.env(\.(example|sample|template|dist))?$/.test(path))) {
    shared.push({ value: '.env', why: 'secrets live on the host', travels: false });
  }
  return shared;
}

function depthOf(path: string): number {
  return path.split('/').length;
}
