import { once } from 'node:events';
import type { ZddEvent } from '../protocol/events.ts';
import type { EventFilter, Journal } from '../store/journal.ts';

/** Past events after `since`, then, when `follow` is set, new ones until `signal`. None is missed. */
export async function* streamEvents(
  journal: Journal,
  filter: EventFilter,
  follow: boolean,
  signal: AbortSignal,
): AsyncGenerator<ZddEvent> {
  const news: ZddEvent[] = [];
  const arrival = new EventTarget();
  const unsubscribe = journal.subscribe((event) => {
    news.push(event);
    arrival.dispatchEvent(new Event('news'));
  });
  try {
    let last = filter.since;
    for (const event of journal.events(filter)) {
      last = event.seq;
      yield event;
    }
    while (follow && !signal.aborted) {
      for (const event of news.splice(0)) {
        if (event.seq <= last || !matches(event, filter)) continue;
        last = event.seq;
        yield event;
      }
      if (news.length === 0) await once(arrival, 'news', { signal });
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  } finally {
    unsubscribe();
  }
}

function matches(event: ZddEvent, { app, deployment }: EventFilter): boolean {
  return (
    (app === undefined || event.app === app) &&
    (deployment === undefined || event.deployment === deployment)
  );
}
