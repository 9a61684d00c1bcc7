import { type Answered, exitOfAll } from '../hosts/ask-all.ts';
import type { Fleet } from '../hosts/fleet.ts';
import { withPrefix } from '../hosts/host-screen.ts';
import { showError } from '../render/error.ts';
import type { Screen } from '../render/screen.ts';

/** Something that happened on a host, ms since the epoch by that host's clock. */
interface Dated {
  readonly at: number;
}

/**
 * What several hosts said, as one, in the order of time; then those that said nothing, and why.
 * @returns the exit code
 */
export function showMerged<T extends Dated>(
  fleet: Fleet,
  answers: readonly Answered<readonly T[]>[],
  show: (screen: Screen, each: T) => void,
): number {
  const width = Math.max(...fleet.hosts.map(({ label }) => label.length));
  const told = answers.map((answer, index) => ({
    ...answer,
    screen: withPrefix(
      fleet.screen,
      {
        host: answer.host.name,
        label: answer.host.label,
        number: index + 1,
        count: answers.length,
      },
      width,
    ),
  }));
  const merged = told.flatMap(({ screen, answer }) =>
    (answer ?? []).map((each) => ({ at: each.at, screen, each })),
  );
  for (const { screen, each } of merged.toSorted((a, b) => a.at - b.at)) show(screen, each);
  for (const { screen, error } of told) {
    if (error !== null) showError(screen, error, { onStdout: true });
  }
  return exitOfAll(answers);
}
