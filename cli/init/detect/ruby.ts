import type { Project } from '../project.ts';
import {
  type Guess,
  NOTHING,
  type ProcessGuess,
  type Proposal,
  type SharedGuess,
} from '../proposal.ts';
import { guessHealth, guessShared, sourcesOf } from './source-code.ts';

/** Ruby, by its Gemfile; Rails and other Rack apps, served by Puma. */
export function detectRuby(project: Project): Proposal | null {
  const gemfile = project.read('Gemfile');
  if (gemfile === null) return null;
  const gems = `${gemfile}\n${project.read('Gemfile.lock') ?? ''}`;
  const rails = /^\s*gem ["']rails["']/m.test(gemfile) || project.files.includes('bin/rails');
  const rack = project.files.includes('config.ru');
  return {
    ...NOTHING,
    kind: 'ruby',
    what: rails ? 'Ruby with Rails' : rack ? 'Ruby with Rack' : 'Ruby',
    from: ['Gemfile', 'Gemfile.lock', 'config.ru'].filter((name) => project.files.includes(name)),
    sure: rails || rack,
    processes: [...(rails || rack ? [web(project, rails)] : []), ...worker(gemfile)],
    release: releaseOf(project, rails),
    env: environment(rails),
    shared: [...(rails ? railsShared(project) : []), ...guessShared(project)],
    host: [
      `ruby${pinned(project, gemfile)} with bundler, the version that installed vendor/bundle/`,
    ],
    prepare: [
      'bundle config set --local path vendor/bundle',
      'bundle config set --local without development:test',
      'bundle install',
      ...(rails
        ? ['SECRET_KEY_BASE_DUMMY=1 RAILS_ENV=production bin/rails assets:precompile']
        : []),
    ],
    ignore: ['spec/', 'config/*.key', 'config/credentials/*.key'],
    checks: [
      ...(/\bpuma\b/.test(gems)
        ? []
        : ['add gem "puma" to the Gemfile: it is what serves the app']),
      ...(rails ? railsChecks(project) : []),
      "vendor/bundle/ holds compiled parts: install it on the host's kind of Linux and Ruby",
    ],
  };
}

function web(project: Project, rails: boolean): ProcessGuess {
  const config = project.files.includes('config/puma.rb') ? '-C config/puma.rb ' : '';
  return {
    name: 'web',
    run: {
      value: `bundle exec puma ${config}-b unix://$SOCKET`,
      why: config === '' ? 'config.ru' : 'config/puma.rb; -b wins over its port',
    },
    listen: { value: 'socket', why: 'puma takes a socket' },
    health: healthOf(project, rails),
    overlap: true,
  };
}

function healthOf(project: Project, rails: boolean): Guess {
  if (rails && /rails\/health#show/.test(project.read('config/routes.rb') ?? '')) {
    return { value: '/up', why: 'rails/health in config/routes.rb' };
  }
  return guessHealth(project, sourcesOf(project, ['rb', 'ru']));
}

function worker(gemfile: string): ProcessGuess[] {
  const known: readonly (readonly [RegExp, string, string])[] = [
    [/^\s*gem ["']sidekiq["']/m, 'bundle exec sidekiq', 'sidekiq'],
    [/^\s*gem ["']solid_queue["']/m, 'bin/jobs', 'solid_queue'],
    [/^\s*gem ["']good_job["']/m, 'bundle exec good_job start', 'good_job'],
  ];
  const found = known.find(([pattern]) => pattern.test(gemfile));
  if (!found) return [];
  return [
    {
      name: 'worker',
      run: { value: found[1], why: `gem ${found[2]}` },
      listen: { value: 'none', why: '' },
      health: null,
      overlap: false,
    },
  ];
}

function releaseOf(project: Project, rails: boolean): Guess | null {
  if (rails && project.files.some((path) => path.startsWith('db/'))) {
    return { value: 'bin/rails db:migrate', why: 'db/' };
  }
  return null;
}

function environment(rails: boolean): Proposal['env'] {
  if (!rails) return [{ name: 'RACK_ENV', value: 'production', why: '' }];
  return [
    { name: 'RAILS_ENV', value: 'production', why: '' },
    { name: 'RAILS_LOG_TO_STDOUT', value: '1', why: 'output reaches the logs' },
  ];
}

function railsShared(project: Project): SharedGuess[] {
  const shared: SharedGuess[] = [
    { value: 'log/', why: 'Rails writes there', travels: false },
    { value: 'tmp/', why: 'Rails writes there', travels: false },
    { value: 'storage/', why: 'Active Storage, SQLite', travels: false },
  ];
  if (project.files.some((path) => path.startsWith('config/credentials'))) {
    shared.push({
      value: 'config/master.key',
      why: 'put it on the host once',
      travels: false,
    });
  }
  return shared;
}

function railsChecks(project: Project): string[] {
  const production = project.read('config/environments/production.rb') ?? '';
  const forced = /^\s*config\.force_ssl\s*=\s*true/m.test(production);
  const assumed = /^\s*config\.assume_ssl\s*=\s*true/m.test(production);
  return [
    ...(forced && !assumed
      ? ['force_ssl answers health checks with 301: set config.assume_ssl = true as well']
      : []),
    ...(/^\s*config\.hosts\b/m.test(production)
      ? ['config.hosts needs "localhost": health checks ask for that name']
      : []),
  ];
}

function pinned(project: Project, gemfile: string): string {
  const version =
    project
      .read('.ruby-version')
      ?.trim()
      .replace(/^ruby-/, '') ?? /^\s*ruby ["']([^"']+)["']/m.exec(gemfile)?.[1];
  return version === undefined || version === '' ? '' : ` ${version}`;
}
