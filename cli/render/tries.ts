/**
 * Changes the command of a line to try next, if it is one of ours: `zdd-agent push   when it is fast`.
 * The remark behind it stays behind it.
 */
export function onCommand(line: string, change: (command: string) => string): string {
  if (!line.startsWith('zdd-agent ')) return line;
  const [, command = line, remark = ''] = /^(.*?)(\s{2,}.*)?$/.exec(line) ?? [];
  return change(command) + remark;
}
