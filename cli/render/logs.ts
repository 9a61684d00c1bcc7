import type { LogLine } from '../../agent/protocol/api.ts';
import { dateTime, shortRelease } from './amounts.ts';
import type { Screen } from './screen.ts';
import { clean } from './text.ts';

/** `18:32:07 r42 web.1  text`; what went to stderr is marked by `!`, and by colour where there is. */
export function logText(screen: Screen, line: LogLine): string {
  const time = dateTime(line.at).slice(11);
  const where = `${shortRelease(line.release)} ${instanceOf(line.slot)}`;
  const mark = line.stream === 'err' ? screen.out.yellow('!') : ' ';
  return `${screen.out.dim(`${time} ${where.padEnd(12)}`)}${mark} ${clean(line.text)}`;
}

/** `web.1` of `shop.r42-ab12cd3-d57-web-1`: its process type and number. */
function instanceOf(slot: string): string {
  const [, process, number] = /([a-z][a-z0-9-]*)-(\d+)$/.exec(slot.replace(/^.*-d\d+-/, '')) ?? [];
  return process && number ? `${process}.${number}` : slot;
}
