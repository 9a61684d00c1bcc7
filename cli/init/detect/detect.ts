import type { Project } from '../project.ts';
import type { Detect, Proposal } from '../proposal.ts';
import { detectGo } from './go.ts';
import { detectNode } from './node.ts';
import { detectPhp } from './php.ts';
import { detectProcfile, withProcfile } from './procfile.ts';
import { detectPython } from './python.ts';
import { detectRuby } from './ruby.ts';
import { detectStaticSite } from './static-site.ts';

/**
 * In this order because the later ones are what the earlier ones also have: a Rails app has a
 * `package.json` for its assets, hardly ever the other way round.
 */
const LANGUAGES: readonly Detect[] = [
  detectRuby,
  detectPhp,
  detectPython,
  detectGo,
  detectNode,
  detectStaticSite,
];

export interface Detected {
  /** Null when nothing is known here; without processes when nothing says how it starts. */
  readonly proposal: Proposal | null;
  /** What else was seen, and passed over. */
  readonly also: readonly string[];
}

/** Looks at a project by everything that is known, and takes what it most likely is. */
export function detect(project: Project): Detected {
  const found = LANGUAGES.flatMap((each) => each(project) ?? []);
  const starts = found.filter(({ processes }) => processes.length > 0);
  const language = starts.find(({ sure }) => sure) ?? starts[0] ?? found[0] ?? null;
  const procfile = detectProcfile(project);
  const also = found
    // A site beside a server is what that server shows.
    .filter((each) => each !== language && each.kind !== 'static' && each.processes.length > 0)
    .map(({ what }) => what);
  return { proposal: procfile ? withProcfile(language, procfile) : language, also };
}
