import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BEGIN_MARKER,
  END_MARKER,
  findRegion,
  replaceRegion,
} from '../../agent/haproxy/config/region.ts';

const region = (body: string): string => `${BEGIN_MARKER}\n${body}${END_MARKER}`;
const broken = (text: string): void => {
  expect(() => replaceRegion(text, 'x\n')).toThrow(
    expect.objectContaining({ code: 'ZDD_HAPROXY_REGION_BROKEN' }),
  );
};
/** Text as admins leave it: any line ends, any bytes, with or without a last newline. */
const outside = fc
  .array(
    fc.tuple(
      fc.oneof(fc.string(), fc.constantFrom('global', '  # käse', '\tbind *:80', '')),
      fc.constantFrom('\n', '\r\n', '\n\n'),
    ),
  )
  .map((lines) => lines.map(([line, end]) => line.replaceAll('\n', '') + end).join(''))
  .filter((text) => !/zdd-agent/.test(text));
const body = fc
  .array(fc.stringMatching(/^[a-z ]{0,12}$/))
  .map((lines) => lines.map((line) => `${line}\n`).join(''));

describe('the managed region', () => {
  it('keeps every byte outside itself, whatever stands there', () => {
    fc.assert(
      fc.property(
        outside,
        body,
        body,
        fc.constantFrom('', '\n', '\r\n'),
        outside,
        (a, old, next, end, b) => {
          // Text after the region's last line needs a line end before it.
          const rest = end === '' ? '' : end + b;
          expect(replaceRegion(a + region(old) + rest, next)).toBe(a + region(next) + rest);
        },
      ),
    );
  });

  it('is appended when there is none, and what was there stays its beginning', () => {
    fc.assert(
      fc.property(outside, fc.boolean(), body, (text, cutLast, next) => {
        const before = cutLast ? text.replace(/[\r\n]+$/, '') : text;
        const after = replaceRegion(before, next);
        expect(after.startsWith(before)).toBe(true);
        expect(after.endsWith(`${region(next)}\n`)).toBe(true);
        expect(after.slice(before.length, -region(next).length - 1)).toMatch(/^\n{0,2}$/);
        expect(replaceRegion(after, next)).toBe(after);
      }),
    );
  });

  it('is found when an editor has given the file CRLF line ends', () => {
    const text = `global\r\n${BEGIN_MARKER}\r\nold\r\n${END_MARKER}\r\nrest\r\n`;
    expect(replaceRegion(text, 'new\n')).toBe(`global\r\n${region('new\n')}\r\nrest\r\n`);
  });

  it('says where it begins', () => {
    expect(findRegion(`a\nb\n${region('x\n')}\nc`)).toMatchObject({ firstLine: 3, after: '\nc' });
    expect(findRegion('a\nb')).toBeUndefined();
  });

  it('is not guessed at when its markers are damaged', () => {
    broken(`a\n${BEGIN_MARKER}\nx\n`);
    broken(`a\n${END_MARKER}\nx\n`);
    broken(`${END_MARKER}\nx\n${BEGIN_MARKER}\n`);
    broken(`${region('x\n')}\n${region('y\n')}\n`);
    broken(`${BEGIN_MARKER}\n${region('x\n')}\n`);
    broken(`${region('x\n')}\n${END_MARKER}\n`);
    broken(region('x\n').replace('>>> zdd-agent', '>>>zdd-agent'));
    broken(region('x\n').replace(END_MARKER, `${END_MARKER} mine`));
    broken(region('x\n').replace(BEGIN_MARKER, `  ${BEGIN_MARKER}`));
  });

  it('takes an admin who writes about the agent for no marker', () => {
    const text = '# zdd-agent owns a managed region below\nglobal\n';
    expect(replaceRegion(text, 'x\n')).toBe(`${text}\n${region('x\n')}\n`);
  });
});
