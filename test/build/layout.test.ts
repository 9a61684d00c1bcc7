import { expect, test } from 'vitest';
import { layout } from '../../build/layout.ts';

const placeOf = (from: string) =>
  layout([from]).find((placed) => 'from' in placed && placed.from === from);

test('a template lies where its folder and its ending say', () => {
  expect(placeOf('templates/systemd/zdd-agentd.service')).toEqual({
    to: 'usr/lib/systemd/system/zdd-agentd.service',
    mode: 0o644,
    from: 'templates/systemd/zdd-agentd.service',
  });
  expect(placeOf('templates/systemd/zdd-app@.service.in')?.to).toBe(
    'usr/lib/zdd-agent/templates/systemd/zdd-app@.service.in',
  );
  expect(placeOf('templates/libexec/provision')).toMatchObject({ mode: 0o755 });
  expect(placeOf('docs/errors.md')?.to).toBe('usr/share/doc/zdd-agent/errors.md');
});

test('the scripts of the .deb are no part of the tree', () => {
  expect(placeOf('templates/deb/postinst')).toBeUndefined();
});

test('a template that no rule places is an error and not left out', () => {
  expect(() => layout(['templates/systemd/zdd-agentd.timer'])).toThrow(
    'no rule of build/layout.ts places templates/systemd/zdd-agentd.timer',
  );
  expect(() => layout(['templates/sudoers/zdd'])).toThrow('templates/sudoers/zdd');
});
