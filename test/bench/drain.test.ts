import { expect, test } from 'vitest';
import { drainBench } from '../../bench/drain/drain.ts';

test('hundreds of WebSockets: none closed early, at the pace, none new on the old release', async () => {
  const asked = ['--websockets', '400', '--pace', '100', '--deadline', '4'];
  const session = { say: () => {}, signal: new AbortController().signal };
  const { json } = await drainBench.run(asked, session);
  expect(json).toMatchObject({ closed: 400, closedEarly: 0, newOnOld: 0, newOnNew: 400 });
  expect(json).toMatchObject({ lost: 0, handshakesFailed: 0 });
  expect(json['rate']).toBeGreaterThan(90);
  expect(json['rate']).toBeLessThan(110);
  // A quarter of a second is all that a late look may make up for.
  expect(json['mostInOneSecond']).toBeLessThanOrEqual(130);
});
