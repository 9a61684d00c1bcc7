import type { ReleasesReply } from '../../agent/protocol/api.ts';
import type { Answered } from '../hosts/ask-all.ts';
import { age, bytes, counted, shortRelease } from './amounts.ts';
import { EDGE, type Screen } from './screen.ts';
import { NONE } from './status.ts';
import { clean, cut, leftRight, table } from './text.ts';

/** Less of a source says nothing. */
const LEAST_SOURCE = 12;
const GAP = 3;

/**
 * One line for all copies of a release, newest first, and under each host what it is there. Hosts
 * number releases by themselves: the copies are told by the digest of their contents.
 * @param now ms since the epoch
 */
export function fleetReleaseLines(
  screen: Screen,
  answers: readonly Answered<ReleasesReply>[],
  now: number,
): string[] {
  const app = answers.find(({ answer }) => answer !== null)?.answer?.app ?? '';
  const copies = copiesOf(answers);
  const title = leftRight(app, counted(answers.length, 'host'), EDGE).replace(
    app,
    screen.out.bold(app),
  );
  if (copies.length === 0) return [title, '', `${app} has no release yet. Try: zdd-agent push`];
  const labels = answers.map(({ host }) => host.label);
  const head = ['release', 'age', 'size', ...labels];
  const rows = copies.map(({ digest, createdAt, size, on }) => [
    digest,
    age(now - createdAt),
    bytes(size),
    ...answers.map(({ answer }, index) => (answer === null ? '?' : (on[index] ?? NONE))),
  ]);
  const room = EDGE - Math.max(...table(head, rows).map((line) => line.length)) - GAP;
  const paint = (text: string) =>
    text.endsWith(' live')
      ? screen.out.green(text)
      : text.endsWith(' bad')
        ? screen.out.red(text)
        : text;
  // Where it comes from stands last, and only where there is room for it.
  if (room < LEAST_SOURCE) return [title, '', ...table(head, rows, paint)];
  const longer = rows.map((row, index) => [...row, cut(clean(copies[index]?.source ?? ''), room)]);
  return [title, '', ...table([...head, 'from'], longer, paint)];
}

interface Copies {
  readonly digest: string;
  /** Of the newest copy. */
  readonly createdAt: number;
  readonly size: number;
  readonly source: string;
  /** By host: `r42 live`. */
  readonly on: string[];
}

function copiesOf(answers: readonly Answered<ReleasesReply>[]): Copies[] {
  const byDigest = new Map<string, Copies>();
  for (const [index, { answer }] of answers.entries()) {
    for (const { release, state, createdAt, bytes: size, source } of answer?.releases ?? []) {
      const digest = release.split('-')[1] ?? release;
      const known = byDigest.get(digest) ?? { digest, createdAt, size, source, on: [] };
      known.on[index] = `${shortRelease(release)} ${state}`;
      byDigest.set(digest, { ...known, createdAt: Math.max(known.createdAt, createdAt) });
    }
  }
  return [...byDigest.values()].toSorted((a, b) => b.createdAt - a.createdAt);
}
