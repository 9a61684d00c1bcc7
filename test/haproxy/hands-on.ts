import type { DesiredProxy } from '../../agent/haproxy/desired.ts';
import { parseStat } from '../../agent/haproxy/tables.ts';
import { type Lab, soon } from './harness.ts';
import { rawGet } from './raw.ts';
import { answerKinds } from './recorder.ts';

/** What tests of an applied proxy do again and again, with the lab of the moment. */
export function handsOn(lab: () => Lab) {
  return {
    apply: (desired: DesiredProxy) => lab().proxy.apply(desired, soon()),
    /** What HAProxy says otherwise than it should. */
    differences: async (desired: DesiredProxy): Promise<readonly string[]> =>
      (await lab().proxy.inspect(desired, soon())).map(({ what }) => what),
    /** `200 r1`: status and body of an answer. */
    get: async (host = 'any'): Promise<string> => {
      const [head = '', body = ''] = (await rawGet(lab().port, host)).split('\r\n\r\n');
      return `${head.split(' ')[1]} ${body}`;
    },
    /** An app that answers every kind of request that `record` sends. */
    loaded: (name: string) =>
      lab().app(name, (request, response) => void answerKinds(name, request, response)),
    /** State and weight of each server of the shop. */
    weights: async (): Promise<Record<string, string>> =>
      Object.fromEntries(
        parseStat(await lab().ask('show stat zdd_shop 4 -1')).map((row) => [
          row.get('svname'),
          `${row.get('status')} ${row.get('uweight')}`,
        ]),
      ),
  };
}
