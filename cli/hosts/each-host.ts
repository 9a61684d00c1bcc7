import { showFailure } from '../failure.ts';
import { EXIT_INTERRUPTED } from '../interrupt.ts';
import { UsageError } from '../usage-error.ts';
import { type Fleet, labelsOf } from './fleet.ts';
import { underHeading, withPrefix } from './host-screen.ts';
import { type HostOutcome, lookAtLive, showOutcomes } from './outcome.ts';
import { findPlaces, nameOf, type Places } from './places.ts';
import { type Run, type Visit, visitHost } from './visit.ts';

/** Verbs that change nothing: a host out of reach is no reason not to ask the next one. */
const READING: ReadonlySet<string> = new Set([
  'audit',
  'cert ls',
  'doctor',
  'env list',
  'drain',
  'events',
  'logs',
  'releases',
  'status',
  'why',
]);

/** Verbs that take over the terminal: several hosts, one after another, would be no help. */
const ALONE: ReadonlySet<string> = new Set(['console', 'exec']);

/**
 * Runs a verb on every host it is for. Which those are is found out when the verb first asks for an
 * agent: one that needs none does not depend on them. Several hosts come one after another; only
 * what is followed without end comes from all at once.
 * @returns the exit code: of the first host whose is not 0
 * @throws what the verb throws, unless it ran on one of several hosts
 */
export async function runOnHosts(run: Run): Promise<number> {
  const visits: Visit[] = [];
  let places: Places | null = null;
  const find = async (folder?: string): Promise<Places> => {
    places ??= await findPlaces(run.globals, folder ?? run.cwd, run.interrupts.signal);
    const { all } = places;
    if (ALONE.has(run.command.name) && all.length > 1) {
      throw new UsageError(`which host? There are several: ${all.map(nameOf).join(', ')}`, [
        `zdd-agent ${run.command.name} --host ${nameOf(all[0])}`,
      ]);
    }
    return places;
  };
  const reading = READING.has(run.command.name);
  try {
    if (run.command.endless === true || (reading && run.input.flag('follow'))) {
      const found = await find();
      if (found.all.length > 1) return await allAtOnce(run, found, visits);
    }
    if (reading && run.command.together !== undefined) {
      const found = await find();
      if (found.all.length > 1)
        return await run.command.together(run.input, fleetOf(run, found, visits));
    }
    const exits = await oneAfterAnother(run, find, () => places?.all.length ?? 0, visits);
    if (places !== null && !reading) await sumUp(run, places, visits, exits);
    return exits.find((exit) => exit !== 0) ?? 0;
  } finally {
    for (const visit of visits) visit.agent()?.close();
  }
}

/** @param count how many hosts there are, as far as known. @returns the exit code of each visit */
async function oneAfterAnother(
  run: Run,
  find: (folder?: string) => Promise<Places>,
  count: () => number,
  visits: Visit[],
): Promise<number[]> {
  const reading = READING.has(run.command.name);
  const exits: number[] = [];
  do {
    const number = visits.length + 1;
    const visit = visitHost(run, visits.length, find, (screen, host, all) =>
      underHeading(screen, { host, number, count: all }, reading ? 'data' : 'note'),
    );
    visits.push(visit);
    const exit = await exitOf(run, visit, () => count() > 1);
    exits.push(exit);
    if (exit === EXIT_INTERRUPTED || (exit !== 0 && !reading)) break;
  } while (visits.length < count());
  return exits;
}

async function allAtOnce(run: Run, places: Places, visits: Visit[]): Promise<number> {
  const labels = labelsOf(places.all.map(nameOf));
  const width = Math.max(...labels.map((label) => label.length));
  const exits = await Promise.all(
    places.all.map((_, index) => {
      const visit = visitHost(
        run,
        index,
        async () => places,
        (screen, host, count) =>
          withPrefix(
            screen,
            { host, label: labels[index] ?? host, number: index + 1, count },
            width,
          ),
      );
      visits.push(visit);
      return exitOf(run, visit, () => true);
    }),
  );
  return exits.find((exit) => exit !== 0) ?? 0;
}

function fleetOf(run: Run, places: Places, visits: Visit[]): Fleet {
  const { globals, screen, interrupts } = run;
  const names = places.all.map(nameOf);
  const labels = labelsOf(names);
  const hosts = names.map((name, index) => {
    const visit = visitHost(
      run,
      index,
      async () => places,
      (each) => each,
    );
    visits.push(visit);
    return { name, label: labels[index] ?? name, context: visit.context };
  });
  return { environment: places.environment, hosts, globals, screen, interrupts };
}

/** @param shared whether there are other hosts: then an error is shown here, under its host */
async function exitOf(run: Run, { context }: Visit, shared: () => boolean): Promise<number> {
  try {
    return await run.command.run(run.input, context);
  } catch (cause) {
    const { leadingThere } = await import('../connect/refused-by-agent.ts');
    const shown = leadingThere(cause, context.wayThere());
    if (!shared()) throw shown;
    return await showFailure(context.screen, shown);
  }
}

async function sumUp(
  run: Run,
  { all }: Places,
  visits: readonly Visit[],
  exits: readonly number[],
): Promise<void> {
  if (all.length < 2) return;
  const outcomes = await Promise.all(
    all.map(async (place, index): Promise<HostOutcome> => {
      const visit = visits[index];
      const exit = exits[index] ?? null;
      const agent = visit?.agent() ?? null;
      const app = visit?.app() ?? null;
      return {
        host: nameOf(place),
        result: exit === null ? 'not_tried' : exit === 0 ? 'done' : 'failed',
        exit,
        app,
        live: agent !== null && app !== null ? await lookAtLive(agent, app) : null,
      };
    }),
  );
  showOutcomes(run.screen, outcomes);
}
