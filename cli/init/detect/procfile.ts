import type { Project } from '../project.ts';
import { type Guess, NOTHING, type ProcessGuess, type Proposal } from '../proposal.ts';
import { NO_HEALTH } from './source-code.ts';

/** A Procfile names the processes itself: it wins over what the language suggests. */
export function detectProcfile(project: Project): Proposal | null {
  const text = project.read('Procfile');
  if (text === null) return null;
  const lines = text
    .split(/\r?\n/)
    .map((line) => /^([A-Za-z0-9_-]+):\s*(.+?)\s*$/.exec(line))
    .flatMap((match) => (match ? [{ name: match[1] ?? '', run: match[2] ?? '' }] : []));
  const release = lines.find(({ name }) => name === 'release');
  const renamed: string[] = [];
  const processes = lines
    .filter(({ name }) => name !== 'release')
    .map(({ name, run }) => {
      const valid = processName(name);
      if (valid !== name) renamed.push(`Procfile: ${name} is called ${valid} here`);
      return processOf(valid, run);
    });
  const unique = new Set(processes.map(({ name }) => name));
  if (processes.length === 0 || unique.size < processes.length) return null;
  return {
    ...NOTHING,
    kind: 'procfile',
    what: 'a Procfile',
    from: ['Procfile'],
    sure: true,
    processes,
    release: release === undefined ? null : { value: release.run, why: 'release of the Procfile' },
    checks: renamed,
  };
}

function processOf(name: string, run: string): ProcessGuess {
  const why = 'Procfile';
  if (name !== 'web') {
    return {
      name,
      run: { value: run, why },
      listen: { value: 'none', why: '' },
      health: null,
      overlap: false,
    };
  }
  const socket = /\$\{?(ZDD_)?SOCKET\b/.test(run);
  return {
    name,
    run: { value: run, why },
    listen: socket
      ? { value: 'socket', why: 'the line takes $SOCKET' }
      : { value: 'port', why: 'a Procfile means $PORT' },
    health: null,
    overlap: true,
  };
}

/** As `zdd.yaml` wants names: lower-case letters, digits and `-`, a letter first, at most 31. */
function processName(name: string): string {
  const plain = name.toLowerCase().replaceAll('_', '-');
  return (/^[a-z]/.test(plain) ? plain : `p${plain}`).slice(0, 31);
}

/** What the language knows, with the processes of the Procfile. */
export function withProcfile(language: Proposal | null, procfile: Proposal): Proposal {
  const known = language?.processes.find(({ name }) => name === 'web')?.health;
  const processes = procfile.processes.map((each) =>
    each.name === 'web'
      ? { ...each, run: runnable(each.run, language), health: known ?? NO_HEALTH }
      : { ...each, run: runnable(each.run, language) },
  );
  if (language === null) return { ...procfile, processes };
  return {
    ...language,
    what: `${language.what}, with a Procfile`,
    from: [...procfile.from, ...language.from],
    sure: true,
    processes,
    release: procfile.release ? runnable(procfile.release, language) : language.release,
    checks: [...procfile.checks, ...language.checks.filter((check) => !check.includes('$PORT'))],
  };
}

/** Programs that are installed inside the release are not on the PATH of the host. */
function runnable(run: Guess, language: Proposal | null): Guess {
  const program = /^\S+/.exec(run.value)?.[0] ?? '';
  if (language?.kind === 'python') {
    if (/^(gunicorn|uvicorn|hypercorn|daphne|celery|flask|alembic)$/.test(program)) {
      return { ...run, value: `python3 -m ${run.value}` };
    }
    if (program === 'python') return { ...run, value: run.value.replace(/^python/, 'python3') };
  }
  if (
    language?.kind === 'node' &&
    /^(next|nuxt|remix-serve|react-router-serve|nest|prisma)$/.test(program)
  ) {
    return { ...run, value: `node_modules/.bin/${run.value}` };
  }
  return run;
}
