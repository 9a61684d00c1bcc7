import type { Project } from '../project.ts';
import { type Guess, NOTHING, type Proposal } from '../proposal.ts';
import { findIn, guessHealth, guessShared, sourcesOf } from './source-code.ts';

const MANIFESTS = ['pyproject.toml', 'requirements.txt', 'Pipfile', 'setup.py', 'manage.py'];
/** Where packages are installed so that they travel: a virtual environment links out of the folder. */
const PACKAGES = 'vendor';

/** Python, by its manifests; Django, FastAPI, Flask and their kin by what is imported. */
export function detectPython(project: Project): Proposal | null {
  const from = MANIFESTS.filter((name) => project.files.includes(name));
  if (from.length === 0) return null;
  const locks = ['uv.lock', 'poetry.lock', 'Pipfile.lock'].filter((name) =>
    project.files.includes(name),
  );
  const needs = requirements(project);
  const sources = sourcesOf(project, ['py']);
  const app = appOf(project, sources, needs);
  return {
    ...NOTHING,
    kind: 'python',
    what: app === null ? 'Python' : `Python with ${app.title}`,
    from: [...from, ...locks],
    sure: app !== null,
    processes: [
      ...(app === null
        ? []
        : [
            {
              name: 'web',
              run: app.run,
              listen: { value: 'socket', why: `${app.server} takes a socket` } as const,
              health: guessHealth(project, sources),
              overlap: true,
            },
          ]),
      ...celery(project, sources, needs),
    ],
    release: releaseOf(project),
    env: [
      {
        name: 'PYTHONPATH',
        value: sources.some((path) => path.startsWith('src/')) ? `${PACKAGES}:src` : PACKAGES,
        why: 'packages travel in the release',
      },
      { name: 'PYTHONUNBUFFERED', value: '1', why: 'output reaches the logs at once' },
    ],
    shared: guessShared(project),
    host: [`python3${pinned(project)}, the version that installed ${PACKAGES}/`],
    prepare: install(project),
    ignore: ['.venv/', 'venv/', '__pycache__/', '*.pyc', '.pytest_cache/', '.mypy_cache/'],
    checks: app === null ? [] : checksOf(project, app, needs),
  };
}

interface App {
  readonly title: string;
  readonly server: 'gunicorn' | 'uvicorn';
  readonly run: Guess;
}

function appOf(project: Project, sources: readonly string[], needs: string): App | null {
  const asgi = project.files.find((path) => /(^|\/)asgi\.py$/.test(path));
  const wsgi = project.files.find((path) => /(^|\/)wsgi\.py$/.test(path));
  if (project.files.includes('manage.py') && (wsgi ?? asgi) !== undefined) {
    const live = /\b(channels|daphne|uvicorn)\b/i.test(needs) && asgi !== undefined;
    const file = live ? asgi : (wsgi ?? asgi ?? '');
    const server = live || wsgi === undefined ? 'uvicorn' : 'gunicorn';
    return { title: 'Django', server, run: serve(server, `${moduleOf(file)}:application`, file) };
  }
  const object = /^(\w+)\s*(?::[^=\n]+)?=\s*(FastAPI|Starlette|Litestar|Quart|Flask)\(/m;
  const found = findIn(project, sources, object);
  if (found) {
    const [, name = 'app', title = ''] = found.match;
    const server = title === 'Flask' ? 'gunicorn' : 'uvicorn';
    return { title, server, run: serve(server, `${moduleOf(found.path)}:${name}`, found.path) };
  }
  const factory = findIn(project, sources, /^def (create_app|make_app)\(/m);
  if (factory && /\bflask\b/i.test(needs)) {
    const target = `${moduleOf(factory.path)}:${factory.match[1]}()`;
    return {
      title: 'Flask',
      server: 'gunicorn',
      run: serve('gunicorn', `'${target}'`, factory.path),
    };
  }
  return null;
}

/** By `python3 -m`: the scripts beside installed packages name the Python of another machine. */
function serve(server: App['server'], target: string, why: string): Guess {
  const place = server === 'gunicorn' ? '--bind unix:$SOCKET' : '--uds $SOCKET';
  return { value: `python3 -m ${server} ${place} ${target}`, why: `the app is in ${why}` };
}

function moduleOf(path: string): string {
  return path
    .replace(/^src\//, '')
    .replace(/(\/__init__)?\.py$/, '')
    .replaceAll('/', '.');
}

function celery(project: Project, sources: readonly string[], needs: string) {
  if (!/\bcelery\b/i.test(needs)) return [];
  const found = findIn(project, sources, /=\s*Celery\(/);
  if (!found) return [];
  const app = moduleOf(found.path).replace(/\.celery$/, '');
  return [
    {
      name: 'worker',
      run: { value: `python3 -m celery -A ${app} worker`, why: `Celery in ${found.path}` },
      listen: { value: 'none', why: '' },
      health: null,
      overlap: false,
    } as const,
  ];
}

function releaseOf(project: Project): Guess | null {
  if (project.files.includes('manage.py')) {
    return { value: 'python3 manage.py migrate', why: 'manage.py' };
  }
  return project.files.includes('alembic.ini')
    ? { value: 'python3 -m alembic upgrade head', why: 'alembic.ini' }
    : null;
}

function install(project: Project): string[] {
  const into = `--target ${PACKAGES}`;
  if (project.files.includes('uv.lock')) {
    return [
      'uv export --frozen --no-dev --no-emit-project -o .requirements.txt',
      `uv pip install ${into} -r .requirements.txt`,
    ];
  }
  if (project.files.includes('poetry.lock')) {
    return [
      'poetry export --without-hashes -o .requirements.txt',
      `python3 -m pip install ${into} -r .requirements.txt`,
    ];
  }
  if (project.files.includes('Pipfile.lock')) {
    return [
      'pipenv requirements > .requirements.txt',
      `python3 -m pip install ${into} -r .requirements.txt`,
    ];
  }
  const what = project.files.includes('requirements.txt') ? '-r requirements.txt' : '.';
  return [`python3 -m pip install ${into} ${what}`];
}

function checksOf(project: Project, { title, server }: App, needs: string): string[] {
  const checks = [
    `${PACKAGES}/ holds compiled parts: install it on the host's kind of Linux and Python`,
  ];
  if (!new RegExp(`\\b${server}\\b`, 'i').test(needs)) {
    checks.push(`add ${server} to the requirements: it is what serves the app`);
  }
  if (title === 'Django') {
    checks.push("ALLOWED_HOSTS needs 'localhost': health checks ask for that name");
    if (findIn(project, sourcesOf(project, ['py']), /SECURE_SSL_REDIRECT\s*=\s*True/)) {
      checks.push('SECURE_SSL_REDIRECT answers health checks with 301: exempt their path');
    }
    checks.push('collect static files before the push: python3 manage.py collectstatic');
  }
  return checks;
}

/** All that names required packages, as one text. */
function requirements(project: Project): string {
  return ['requirements.txt', 'pyproject.toml', 'Pipfile', 'setup.py', 'setup.cfg']
    .map((name) => project.read(name) ?? '')
    .join('\n');
}

function pinned(project: Project): string {
  const version =
    project.read('.python-version')?.trim() ??
    /requires-python\s*=\s*"([^"]+)"/.exec(project.read('pyproject.toml') ?? '')?.[1];
  return version === undefined || version === '' ? '' : ` ${version}`;
}
