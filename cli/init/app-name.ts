import { moduleName } from './detect/go.ts';
import { readNodeManifest } from './detect/node-manifest.ts';
import type { Project } from './project.ts';
import type { Guess, Kind } from './proposal.ts';

/** What `app` of a `zdd.yaml` may be. */
const VALID = /^[a-z][a-z0-9-]{0,30}$/;

export function isAppName(text: string): boolean {
  return VALID.test(text);
}

/** The name of the project by the manifest of its language, else that of its folder, made to fit. */
export function guessAppName(project: Project, kind: Kind): Guess {
  for (const { value: text, why } of [manifestName(project, kind), folder(project)]) {
    const value = fitted(text);
    if (isAppName(value)) return { value, why };
  }
  return { value: 'app', why: 'nothing here has a name' };
}

function folder(project: Project): Guess {
  return { value: project.folder, why: 'name of the folder' };
}

function manifestName(project: Project, kind: Kind): Guess {
  switch (kind) {
    case 'node':
    case 'static': {
      const name = readNodeManifest(project)?.name ?? '';
      return { value: name.replace(/^@[^/]+\//, ''), why: 'name of package.json' };
    }
    case 'python': {
      const text = project.read('pyproject.toml') ?? '';
      const named = /^\[project\][^[]*?^name\s*=\s*["']([^"']+)["']/ms.exec(text);
      return { value: named?.[1] ?? '', why: 'name of pyproject.toml' };
    }
    case 'go':
      return { value: moduleName(project.read('go.mod') ?? ''), why: 'module of go.mod' };
    case 'php': {
      const named = /"name"\s*:\s*"[^"/]+\/([^"]+)"/.exec(project.read('composer.json') ?? '');
      return { value: named?.[1] ?? '', why: 'name of composer.json' };
    }
    case 'ruby':
    case 'procfile':
    case 'command':
      return { value: '', why: '' };
  }
}

function fitted(text: string): string {
  return text
    .toLowerCase()
    .replaceAll(/[^a-z0-9]+/g, '-')
    .replace(/^[^a-z]+/, '')
    .slice(0, 31)
    .replace(/-+$/, '');
}
