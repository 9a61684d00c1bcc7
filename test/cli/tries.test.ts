import { expect, test } from 'vitest';
import { onCommand } from '../../cli/render/tries.ts';

const there = (command: string): string => `${command} --host web1`;

test.each([
  ['zdd-agent status', 'zdd-agent status --host web1'],
  [
    'zdd-agent push --probe-timeout 9s        if it only needs longer',
    'zdd-agent push --probe-timeout 9s --host web1        if it only needs longer',
  ],
  ['df -h', 'df -h'],
])('what leads to a host goes to the command, not to the remark: %s', (line, led) => {
  expect(onCommand(line, there)).toBe(led);
});
