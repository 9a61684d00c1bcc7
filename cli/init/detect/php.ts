import { z } from 'zod';
import type { Project } from '../project.ts';
import { type Guess, NOTHING, type Proposal, type SharedGuess } from '../proposal.ts';
import { guessHealth, guessShared, sourcesOf } from './source-code.ts';

const manifest = z.object({ require: z.record(z.string(), z.string()).catch({}).default({}) });

/** PHP, by `composer.json`, served by FrankenPHP: FPM speaks no HTTP, `php -S` is for development. */
export function detectPhp(project: Project): Proposal | null {
  const needs = requires(project);
  if (needs === null) return null;
  const laravel = 'laravel/framework' in needs;
  const symfony = 'symfony/framework-bundle' in needs;
  const octane = 'laravel/octane' in needs;
  const root = ['public', 'web', 'html'].find((name) =>
    project.files.includes(`${name}/index.php`),
  );
  const front = root === undefined ? project.files.includes('index.php') : true;
  const title = laravel ? 'Laravel' : symfony ? 'Symfony' : null;
  const run: Guess = octane
    ? {
        value: 'php artisan octane:start --server=frankenphp --host=$HOST --port=$PORT',
        why: 'laravel/octane in composer.json',
      }
    : {
        value: `frankenphp php-server --listen $HOST:$PORT --root ${root ?? '.'}`,
        why: `${root === undefined ? '' : `${root}/`}index.php; FPM speaks no HTTP`,
      };
  return {
    ...NOTHING,
    kind: 'php',
    what: title === null ? 'PHP' : `PHP with ${title}`,
    from: ['composer.json', 'composer.lock'].filter((name) => project.files.includes(name)),
    sure: title !== null || front,
    processes: [
      ...(front
        ? [
            {
              name: 'web',
              run,
              listen: { value: 'port', why: 'this server takes a port' } as const,
              health: laravel ? laravelHealth(project) : guessHealth(project, sources(project)),
              overlap: true,
            },
          ]
        : []),
    ],
    release: laravel
      ? { value: 'php artisan migrate --force', why: 'database/migrations' }
      : 'doctrine/doctrine-migrations-bundle' in needs
        ? { value: 'php bin/console doctrine:migrations:migrate -n', why: 'doctrine migrations' }
        : null,
    env: laravel
      ? [
          { name: 'APP_ENV', value: 'production', why: '' },
          { name: 'LOG_CHANNEL', value: 'stderr', why: 'output reaches the logs' },
        ]
      : symfony
        ? [{ name: 'APP_ENV', value: 'prod', why: '' }]
        : [],
    shared: [...written(laravel, symfony), ...guessShared(project)],
    host: [`frankenphp${octane ? ' and php' : ''}: https://frankenphp.dev/docs/`],
    prepare: ['composer install --no-dev --optimize-autoloader'],
    ignore: ['tests/', 'node_modules/'],
    checks: [
      ...(laravel ? ['APP_KEY and the database must be in the shared .env on the host'] : []),
      ...(laravel && !octane
        ? ['queues: add a process, worker: { run: php artisan queue:work, overlap: false }']
        : []),
    ],
  };
}

function requires(project: Project): Readonly<Record<string, string>> | null {
  const text = project.read('composer.json');
  if (text === null) return null;
  try {
    const read = manifest.safeParse(JSON.parse(text));
    return read.success ? read.data.require : null;
  } catch {
    return null;
  }
}

function sources(project: Project): string[] {
  return sourcesOf(project, ['php']);
}

function laravelHealth(project: Project): Guess {
  return /health:\s*["']\/up["']/.test(project.read('bootstrap/app.php') ?? '')
    ? { value: '/up', why: 'bootstrap/app.php' }
    : guessHealth(project, sources(project));
}

/** Where the frameworks write while they run. */
function written(laravel: boolean, symfony: boolean): SharedGuess[] {
  const why = 'written at run time';
  if (laravel) {
    return [
      { value: 'storage/', why, travels: true },
      { value: 'bootstrap/cache/', why, travels: true },
    ];
  }
  return symfony ? [{ value: 'var/', why, travels: false }] : [];
}
