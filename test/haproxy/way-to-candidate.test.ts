import fc from 'fast-check';
import { expect, test } from 'vitest';
import { headersToCandidate, USERS } from '../../agent/haproxy/config/split.ts';

const servers = { prefix: 'r2-d7-web-', count: 2 };

test('whatever the share and the turn, the cookie is that of a user who has it', () => {
  const limit = fc.integer({ min: 1, max: USERS });
  const turn = fc.integer({ min: 0, max: USERS - 1 });
  fc.assert(
    fc.property(limit, turn, (ofTenThousand, turned) => {
      const share = { ofTenThousand, servers, turn: turned };
      const cookie = headersToCandidate({ preview: null, share })?.['cookie'] ?? '';
      const bucket = Number(/^zdd_bucket=(\d{1,4})$/.exec(cookie)?.[1]);
      // As the rules of the backend reckon.
      expect((bucket + turned) % USERS).toBeLessThan(ofTenThousand);
    }),
  );
});

test('at 0 % it goes as the team does, if a header or a cookie says so', () => {
  const share = { ofTenThousand: 0, servers, turn: 17 };
  const header = { name: 'X-Preview', value: 'let-me-see' };
  const cookie = { name: 'preview', value: null };
  expect(headersToCandidate({ preview: { ips: [], header, cookie }, share })).toEqual({
    'x-preview': 'let-me-see',
  });
  expect(headersToCandidate({ preview: { ips: [], cookie }, share })).toEqual({
    cookie: 'preview=smoke',
  });
  expect(headersToCandidate({ preview: { ips: ['10.0.0.0/8'] }, share })).toBeNull();
  expect(headersToCandidate({ preview: null, share })).toBeNull();
  expect(headersToCandidate({ preview: { ips: [], header }, share: null })).toBeNull();
});
