import type { Project } from './project.ts';

/** Something that was concluded, and from what, in a few words. */
export interface Guess {
  readonly value: string;
  readonly why: string;
}

/** A path kept across releases. */
export interface SharedGuess extends Guess {
  /** Whether what the project has there is how it begins on the host, rather than a leftover here. */
  readonly travels: boolean;
}

export type Listen = 'socket' | 'port' | 'fd' | 'none';

/** One process type of the proposed `zdd.yaml`. */
export interface ProcessGuess {
  readonly name: string;
  /** A shell line. */
  readonly run: Guess;
  readonly listen: { readonly value: Listen; readonly why: string };
  /** The path that is asked; null for a process that does not listen. */
  readonly health: Guess | null;
  /** Whether it may run beside its successor. */
  readonly overlap: boolean;
}

export type Kind = 'node' | 'python' | 'ruby' | 'go' | 'php' | 'static' | 'procfile' | 'command';

/** What one look at a project concludes. All of it is shown with its reasons, none is silent. */
export interface Proposal {
  readonly kind: Kind;
  /** `Node.js with Express`. */
  readonly what: string;
  /** The files that say so. */
  readonly from: readonly string[];
  /** Whether this is what the project is, rather than something it also has. */
  readonly sure: boolean;
  /** Empty when nothing says how it starts. */
  readonly processes: readonly ProcessGuess[];
  /** Proposed as a comment: only its owner knows whether the old release can live with it. */
  readonly release: Guess | null;
  readonly env: readonly { readonly name: string; readonly value: string; readonly why: string }[];
  readonly shared: readonly SharedGuess[];
  /** What has to be installed on the host. */
  readonly host: readonly string[];
  /** Commands before a push, so that what travels is complete. */
  readonly prepare: readonly string[];
  /** Lines of `.zddignore` beyond the usual ones. */
  readonly ignore: readonly string[];
  /** What only the owner of the project can tell. */
  readonly checks: readonly string[];
}

/** One file a language: null when the project has nothing of it. */
export type Detect = (project: Project) => Proposal | null;

/** Everything a detection need not say when it has nothing to say about it. */
export const NOTHING = {
  processes: [],
  release: null,
  env: [],
  shared: [],
  host: [],
  prepare: [],
  ignore: [],
  checks: [],
} as const satisfies Partial<Proposal>;
