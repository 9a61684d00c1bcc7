import type { Command } from '../command.ts';
import type { Agent } from '../connect/agent.ts';
import type { Context, Globals } from '../context.ts';
import type { Input } from '../input.ts';
import type { Interrupts } from '../interrupt.ts';
import type { Screen } from '../render/screen.ts';
import { openAgent } from './open.ts';
import { noteApp } from './outcome.ts';
import { nameOf, type Places, typedWords } from './places.ts';

/** What was typed, and where its output goes. */
export interface Run {
  readonly command: Command;
  readonly input: Input;
  readonly globals: Globals;
  readonly screen: Screen;
  readonly interrupts: Interrupts;
  readonly cwd: string;
}

/** One run of a verb on one host. */
export interface Visit {
  readonly context: Context;
  /** The agent, once the verb has asked for it. */
  agent(): Agent | null;
  /** The app that the verb turned out to be about. */
  app(): string | null;
}

/**
 * @param index which of the hosts
 * @param find says which hosts there are; asked when the verb asks for its agent
 * @param dress how the output of one of several hosts is told apart
 */
export function visitHost(
  run: Run,
  index: number,
  find: (folder: string | undefined) => Promise<Places>,
  dress: (screen: Screen, host: string, count: number) => Screen,
): Visit {
  const { globals, interrupts, cwd } = run;
  let screen = run.screen;
  let words = typedWords(globals);
  let app: string | null = null;
  let agent: Agent | null = null;
  let opening: Promise<Agent> | undefined;

  async function open(folder: string | undefined): Promise<Agent> {
    const places = await find(folder);
    const place = places.all[index] ?? places.all[0];
    words = places.wordsFor(place);
    if (places.all.length > 1) screen = dress(screen, nameOf(place), places.all.length);
    agent = noteApp(await openAgent(place, globals, screen), (about) => {
      app = about;
    });
    return agent;
  }

  return {
    context: {
      globals,
      interrupts,
      cwd,
      isFirstHost: index === 0,
      // Verbs take the screen before they ask for the agent: what they have must know the host too.
      screen: {
        ...run.screen,
        data: (text) => screen.data(text),
        value: (value) => screen.value(value),
        note: (text) => screen.note(text),
        alarm: (text) => screen.alarm(text),
        raw: (text) => screen.raw(text),
      },
      agent(folder) {
        opening ??= open(folder);
        return opening;
      },
      wayThere: () => words,
    },
    agent: () => agent,
    app: () => app,
  };
}
