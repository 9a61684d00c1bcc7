import { relative, resolve } from 'node:path';
import type { ErrorBody } from '../../agent/protocol/errors.ts';
import { clean } from './text.ts';

/** A service whose job log has more than lines. */
export interface CiLog {
  /** Begins a part of the log that is folded away once it is over. */
  openGroup(title: string): string;
  closeGroup(): string;
  /** Lines that show an error outside of the log, on the change that caused it. */
  annotations(body: ErrorBody): string[];
  /** Text of others, such as the output of an app, that must not be taken for a command. */
  harmless(text: string): string;
}

type Environment = Readonly<Record<string, string | undefined>>;

/** Told by the variables that the services promise to set; null anywhere else. */
export function ciLogOf(environment: Environment, cwd: string): CiLog | null {
  if (environment['GITHUB_ACTIONS'] === 'true') {
    return githubLog(environment['GITHUB_WORKSPACE'] ?? cwd, cwd);
  }
  if (environment['GITLAB_CI'] === 'true') return gitlabLog();
  return null;
}

/** More than this of one step GitHub does not show. */
const MAX_ANNOTATIONS = 10;

/** https://docs.github.com/actions/reference/workflows-and-actions/workflow-commands */
function githubLog(workspace: string, cwd: string): CiLog {
  return {
    openGroup: (title) => `::group::${data(title)}`,
    closeGroup: () => '::endgroup::',
    annotations(body) {
      const places = body.evidence.flatMap(([label, text]) => {
        const [, file, line, column] = /^(.+):(\d+):(\d+)$/.exec(label) ?? [];
        if (file === undefined) return [];
        const path = relative(workspace, resolve(cwd, file));
        const where = `file=${property(path)},line=${line},col=${column}`;
        return [`::error ${where},title=${property(body.code)}::${data(text)}`];
      });
      if (places.length > 0) return places.slice(0, MAX_ANNOTATIONS);
      const said = [
        body.message,
        ...body.evidence.map(([label, text]) => `${label}: ${text}`),
        ...(body.traffic === undefined ? [] : [`traffic: ${body.traffic}`]),
        ...body.tries.map((command, index) => `${index === 0 ? 'Try: ' : '     '}${command}`),
      ];
      return [`::error title=${property(body.code)}::${data(said.join('\n'))}`];
    },
    // Both of its syntaxes: `::name::` begins a line after blanks, `##[name]` stands anywhere.
    harmless: (text) => text.replaceAll(/^(\s*):(?=:)/gm, '$1: ').replaceAll('##[', '# #['),
  };
}

/** https://docs.gitlab.com/ci/jobs/job_logs/ */
function gitlabLog(): CiLog {
  let count = 0;
  let name = '';
  const now = () => Math.floor(Date.now() / 1_000);
  return {
    openGroup(title) {
      count += 1;
      name = `zdd_${count}_${title.toLowerCase().replaceAll(/[^a-z0-9]+/g, '_')}`;
      return `${CLEAR}section_start:${now()}:${name}[collapsed=true]\r${CLEAR}${title}`;
    },
    closeGroup: () => `${CLEAR}section_end:${now()}:${name}\r${CLEAR}`,
    annotations: () => [],
    harmless: (text) => text,
  };
}

/** Part of GitLab's markers, no colour: it stays with NO_COLOR. */
const CLEAR = '\u001b[0K';

/** The text of a command; it may have several lines. */
function data(text: string): string {
  return clean(text).replaceAll('%', '%25').replaceAll('\n', '%0A');
}

function property(text: string): string {
  return data(text).replaceAll(':', '%3A').replaceAll(',', '%2C');
}

/** What is folded away while a step runs: what it says until its own line says how it ended. */
export interface CiGroup {
  say(title: string, text: string): void;
  end(): void;
}

/** A slow step says something this often at most, ms: enough to see that it lives. */
const SAY_MS = 5_000;

/** @param print shows one line in the log */
export function openCiGroup(ci: CiLog, print: (line: string) => void): CiGroup {
  let open: string | null = null;
  let last = { text: '', at: 0 };
  const end = () => {
    if (open === null) return;
    open = null;
    last = { text: '', at: 0 };
    print(ci.closeGroup());
  };
  return {
    say(title, text) {
      if (open !== null && open !== title) end();
      if (text === last.text || Date.now() - last.at < SAY_MS) return;
      if (open === null) print(ci.openGroup(title));
      open = title;
      last = { text, at: Date.now() };
      print(ci.harmless(`  ${text}`));
    },
    end,
  };
}
