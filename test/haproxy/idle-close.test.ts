import { describe, expect, it } from 'vitest';
import { renderComplete } from '../../agent/haproxy/config/complete.ts';
import { frontendsThatCut } from '../../agent/haproxy/config/idle-close.ts';
import { replaceRegion } from '../../agent/haproxy/config/region.ts';
import { renderRegion } from '../../agent/haproxy/config/render.ts';

const OPTION = 'option idle-close-on-response';
const cases: readonly (readonly [what: string, text: string, cut: readonly string[]])[] = [
  ['one without the option', 'frontend a\n mode http', ['a']],
  ['one with it', `frontend a\n mode http\n ${OPTION}`, []],
  ['one that says it may be', `frontend a\n mode http\n no ${OPTION}`, []],
  ['one of TCP, which has no idle requests', 'frontend a\n mode tcp\nlisten b', []],
  ['mode and option of the defaults before it', `defaults\n mode http\n ${OPTION}\nlisten a`, []],
  ['mode alone of those', 'defaults\n mode http\nlisten a\nbackend b', ['a']],
  [
    'the nearest defaults, which forget what others said',
    `defaults\n mode http\n ${OPTION}\ndefaults\n mode http\nfrontend a`,
    ['a'],
  ],
  [
    'defaults by name, and what those build on',
    `defaults b\n mode http\n ${OPTION}\ndefaults c from b\n timeout client 1s\ndefaults\n mode http\nfrontend a from c\nfrontend d`,
    ['d'],
  ],
  ['a comment that only speaks of it', `frontend a # theirs\n mode http\n # ${OPTION}`, ['a']],
];

describe('frontends that a reload may cut clients of', () => {
  it.each(cases)('%s', (_, text, cut) => {
    expect(frontendsThatCut(text)).toEqual(cut);
  });

  it("are never the agent's own", () => {
    const { text } = renderRegion(
      { apps: [] },
      { bind: ['*:80'], adminSocket: undefined, chroot: undefined, mapFolder: '/etc/haproxy' },
    );
    expect(frontendsThatCut(replaceRegion(renderComplete({ adminSocket: '/a' }), text))).toEqual(
      [],
    );
  });
});
