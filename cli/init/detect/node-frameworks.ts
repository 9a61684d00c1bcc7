import type { Project } from '../project.ts';
import type { Guess, Listen, SharedGuess } from '../proposal.ts';

/** A framework that brings its own server, and how that one is started. */
export interface Framework {
  readonly title: string;
  readonly run: Guess;
  readonly listen: { readonly value: Listen; readonly why: string };
  /** What its build leaves, without which it does not start. */
  readonly output: string;
  readonly shared: readonly SharedGuess[];
  readonly checks: readonly string[];
}

type Packages = ReadonlySet<string>;

const PORT_AND_HOST = { value: 'port', why: 'its server reads $PORT and $HOST' } as const;

/** The framework with a server of its own, by the packages of `package.json`. */
export function frameworkOf(packages: Packages, project: Project): Framework | null {
  if (packages.has('next')) return next(project);
  if (packages.has('nuxt')) {
    return framework('Nuxt', 'node .output/server/index.mjs', '.output/');
  }
  if (packages.has('@remix-run/serve')) {
    return framework('Remix', `${BIN}/remix-serve build/server/index.js`, 'build/');
  }
  if (packages.has('@react-router/serve')) {
    return framework('React Router', `${BIN}/react-router-serve build/server/index.js`, 'build/');
  }
  if (packages.has('astro') && packages.has('@astrojs/node')) {
    return {
      ...framework('Astro', 'node dist/server/entry.mjs', 'dist/'),
      checks: ["astro.config: the adapter must be node({ mode: 'standalone' })"],
    };
  }
  if (packages.has('@sveltejs/adapter-node')) {
    return {
      ...framework('SvelteKit', 'SOCKET_PATH=$SOCKET node build', 'build/'),
      listen: { value: 'socket', why: 'adapter-node reads $SOCKET_PATH' },
    };
  }
  return null;
}

/** Packages that name a project without saying how it starts. */
const NAMED: readonly (readonly [string, string])[] = [
  ['@nestjs/core', 'NestJS'],
  ['fastify', 'Fastify'],
  ['express', 'Express'],
  ['koa', 'Koa'],
  ['hono', 'Hono'],
  ['@hapi/hapi', 'hapi'],
  ['@adonisjs/core', 'AdonisJS'],
];

export function nameOfLibrary(packages: Packages): string | null {
  return NAMED.find(([name]) => packages.has(name))?.[1] ?? null;
}

/** Tools whose build is a folder of files and no server. */
const SITE_BUILDERS = [
  'vite',
  'react-scripts',
  '@angular/cli',
  '@vue/cli-service',
  'gatsby',
  '@11ty/eleventy',
  'vitepress',
  'astro',
  'parcel',
];

export function siteBuilderOf(packages: Packages): string | null {
  return SITE_BUILDERS.find((name) => packages.has(name)) ?? null;
}

const BIN = 'node_modules/.bin';

function framework(title: string, run: string, output: string): Framework {
  return {
    title,
    run: { value: run, why: `how ${title} starts what it has built` },
    listen: PORT_AND_HOST,
    output,
    shared: [],
    checks: [],
  };
}

function next(project: Project): Framework {
  const config = project.files.find((path) => /^next\.config\.\w+$/.test(path));
  const text = config === undefined ? '' : (project.read(config) ?? '');
  if (/output\s*:\s*["']standalone["']/.test(text)) {
    return {
      title: 'Next.js',
      run: {
        value: 'HOSTNAME=$HOST node .next/standalone/server.js',
        why: `output: standalone in ${config}`,
      },
      listen: { value: 'port', why: 'its server reads $PORT and $HOSTNAME' },
      output: '.next/',
      shared: [],
      checks: [
        'standalone needs its files beside it: cp -r public .next/standalone/ and ' +
          'cp -r .next/static .next/standalone/.next/',
      ],
    };
  }
  return {
    title: 'Next.js',
    run: {
      value: `${BIN}/next start -H $HOST -p $PORT`,
      why: 'how Next.js starts what it has built',
    },
    listen: { value: 'port', why: 'next start takes a port, no socket' },
    output: '.next/',
    shared: [{ value: '.next/cache/', why: 'Next.js writes there', travels: false }],
    checks: ['pages that are made anew while it runs (ISR) are not kept: a release is read-only'],
  };
}
