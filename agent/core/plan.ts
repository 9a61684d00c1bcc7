import type { Generation } from './model.ts';

/** What the plan needs to know of a process type. */
export interface ProcessPlan {
  readonly process: string;
  readonly instances: number;
  /** It answers requests that come through HAProxy. */
  readonly takesTraffic: boolean;
  /** Old and new may run side by side. */
  readonly overlap: boolean;
}

/** A place for one instance. Its name is unique for ever: it carries the deployment's number. */
export interface Slot {
  readonly name: string;
  readonly process: string;
  /** Counts from 1 within its process type. */
  readonly index: number;
  readonly takesTraffic: boolean;
  readonly overlap: boolean;
}

/** The slots of one generation: `r42-d57-web-1`, in the order of its process types. */
export function slotsOf(generation: Generation, processes: readonly ProcessPlan[]): Slot[] {
  const number = generation.release.split('-')[0] ?? generation.release;
  return processes.flatMap(({ process, instances, takesTraffic, overlap }) =>
    Array.from({ length: instances }, (_, index) => ({
      name: `${number}-d${generation.deployment}-${process}-${index + 1}`,
      process,
      index: index + 1,
      takesTraffic,
      overlap,
    })),
  );
}

/** Slots that start before traffic moves; the others wait until the old ones have stopped. */
export function startsBeforeTraffic(slot: Slot): boolean {
  return slot.takesTraffic || slot.overlap;
}

/** One action on a background instance while a release hands over to another. */
export type HandOver =
  | { readonly act: 'start'; readonly slot: string }
  | { readonly act: 'stop'; readonly slot: string };

/**
 * The order in which background workers change hands: what may overlap starts first, then every
 * old worker stops, then what must not overlap starts. The same order leads back.
 */
export function handOver(from: readonly Slot[], to: readonly Slot[]): HandOver[] {
  const background = (slots: readonly Slot[]): Slot[] => slots.filter((slot) => !slot.takesTraffic);
  const start = (slot: Slot): HandOver => ({ act: 'start', slot: slot.name });
  const overlapping = background(to).filter((slot) => slot.overlap);
  const exclusive = background(to).filter((slot) => !slot.overlap);
  return [
    ...overlapping.map(start),
    ...background(from).map((slot): HandOver => ({ act: 'stop', slot: slot.name })),
    ...exclusive.map(start),
  ];
}
