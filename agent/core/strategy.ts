/** How a release comes to have all traffic. */
export type Strategy =
  /** All new requests at once; the old release stays warm. */
  | { readonly kind: 'blue-green' }
  /** A growing share of the users, with verdicts between. */
  | { readonly kind: 'canary'; readonly steps: readonly CanaryStep[] }
  | Rolling;

/** Instance by instance: as many come as there is room for, and as many leave. */
export interface Rolling {
  readonly kind: 'rolling';
  /** Web instances of the release that serves, */
  readonly from: number;
  /** and of the one that comes. */
  readonly to: number;
  /** How many more than the larger of the two may run at a time. */
  readonly surge: number;
  /** How many fewer than the smaller of the two may take new requests; one always does. */
  readonly unavailable: number;
  /** How long each batch is watched before the next, ms. */
  readonly watchMs: number;
}

/** One step of a canary. Durations in ms. */
export type CanaryStep =
  | {
      readonly do: 'weight';
      /** Of the users, 0 to 100. */
      readonly percent: number;
      /** Part of a ramp: what was seen at the weight before counts on. */
      readonly continues?: true;
    }
  | { readonly do: 'hold'; readonly ms: number; readonly continues?: true }
  /** Until the sequential test has decided. */
  | { readonly do: 'analyse'; readonly withinMs: number }
  | { readonly do: 'smoke' }
  /** A share of the live requests, 0 to 1, is copied to the candidate, which has no users yet. */
  | { readonly do: 'shadow'; readonly share: number; readonly ms: number }
  /** Until somebody says `promote`. */
  | { readonly do: 'approval' }
  /** Until a URL answers 2xx. */
  | { readonly do: 'webhook'; readonly url: string; readonly withinMs: number };

/** More steps than that and a ramp would be a queue of reloads of the journal. */
const RAMP_STEPS = 20;
/** Shorter than this a weight says nothing, ms. */
const RAMP_HOLD_MS = 1_000;

/**
 * A ramp as the weights and holds it consists of, so that file and journal say at each moment what
 * is the case, and each of its steps can be finished or undone.
 */
export function ramp(from: number, to: number, ms: number): CanaryStep[] {
  const distance = Math.abs(to - from);
  const count = Math.max(
    1,
    Math.min(RAMP_STEPS, Math.floor(distance), Math.floor(ms / RAMP_HOLD_MS)),
  );
  return Array.from({ length: count + 1 }, (_, index) => {
    const percent = Math.round((from + ((to - from) * index) / count) * 100) / 100;
    const weight: CanaryStep = { do: 'weight', percent, ...(index > 0 ? { continues: true } : {}) };
    const hold: CanaryStep = { do: 'hold', ms: Math.round(ms / count), continues: true };
    return index < count ? [weight, hold] : [weight];
  }).flat();
}

/** A step in a few words: `weight 5 %`, `hold 2m`. @param duration writes ms as people do */
export function tellStep(step: CanaryStep, duration: (ms: number) => string): string {
  switch (step.do) {
    case 'weight':
      return `weight ${step.percent} %`;
    case 'hold':
      return `hold ${duration(step.ms)}`;
    case 'analyse':
      return `analyse within ${duration(step.withinMs)}`;
    case 'smoke':
      return 'smoke';
    case 'shadow':
      return `shadow ${Number((100 * step.share).toFixed(2))} % for ${duration(step.ms)}`;
    case 'approval':
      return 'gate: manual';
    case 'webhook':
      return `gate: ${new URL(step.url).host}`;
  }
}
