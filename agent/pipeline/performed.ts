import type { AppEvent } from '../core/events.ts';

/** What an effect comes back with: the event to feed back, and a line for the story. */
export interface Performed {
  readonly event: AppEvent;
  readonly summary: string | null;
}
