import type { ReleasesReply } from '../../agent/protocol/api.ts';
import { age, bytes, count } from './amounts.ts';
import type { Screen } from './screen.ts';
import { clean, cut, table } from './text.ts';

const SOURCE = 28;

/** Newest first, one line each. @param now ms since the epoch */
export function releaseLines(screen: Screen, reply: ReleasesReply, now: number): string[] {
  if (reply.releases.length === 0) return [`${reply.app} has no release yet. Try: zdd-agent push`];
  const { green, red } = screen.out;
  const rows = reply.releases.map(({ release, state, createdAt, bytes: size, files, source }) => [
    release,
    state,
    age(now - createdAt),
    bytes(size),
    count(files),
    cut(clean(source), SOURCE),
  ]);
  return table(['release', 'state', 'age', 'size', 'files', 'from'], rows, (text, column) => {
    if (column !== 1) return text;
    return text === 'live' ? green(text) : text === 'bad' ? red(text) : text;
  });
}
