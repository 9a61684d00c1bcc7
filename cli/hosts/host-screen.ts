import { EDGE, type Screen } from '../render/screen.ts';
import { leftRight } from '../render/text.ts';

/** One of several hosts whose output shares a screen. */
export interface Shared {
  readonly host: string;
  /** Short, for the beginning of a line. */
  readonly label: string;
  /** From 1. */
  readonly number: number;
  readonly count: number;
}

/** With `--json`, whose value it is. */
function marked(screen: Screen, host: string): Pick<Screen, 'value'> {
  return {
    value(value) {
      const fields = typeof value === 'object' && value !== null ? value : { value };
      screen.value({ host, ...fields });
    },
  };
}

/** The output of one host after that of another: a heading, then as it is for one host alone. */
export function underHeading(
  screen: Screen,
  shared: Omit<Shared, 'label'>,
  stream: 'data' | 'note',
): Screen {
  const { host, number, count } = shared;
  const title = leftRight(host, `${number} of ${count}`, EDGE);
  const space = number === 1 ? '' : '\n';
  if (stream === 'data') screen.data(`${space}${screen.out.bold(title)}\n`);
  else screen.note(`${space}${screen.err.bold(title)}\n`);
  return { ...screen, ...marked(screen, host) };
}

/** The output of several hosts at the same time: each line says whose it is. */
export function withPrefix(screen: Screen, shared: Shared, width: number): Screen {
  const { host, label, number } = shared;
  const name = label.padEnd(width);
  const prefix = (text: string, before: string) =>
    text
      .split('\n')
      .map((line) => `${before}  ${line}`)
      .join('\n');
  const colours = [screen.out.cyan, screen.out.magenta, screen.out.blue, screen.out.green];
  const colour = colours[(number - 1) % colours.length] ?? screen.out.cyan;
  return {
    ...screen,
    ...marked(screen, host),
    live: false,
    data: (text) => screen.data(prefix(text, colour(name))),
    note: (text) => screen.note(prefix(text, name)),
    alarm: (text) => screen.alarm(prefix(text, name)),
  };
}
