import { DEFAULT_SOCKET } from '../../../agent/protocol/contact.ts';
import { ZddError } from '../../../agent/protocol/errors.ts';
import { LastingError } from '../lasting.ts';
import type { HostSettings } from './config/settings.ts';
import { placeOf, sshTo } from './refusals.ts';
import { quoted, sameCommand } from './same-command.ts';

const CODE = 'ZDD_AGENT_UNREACHABLE';

/**
 * sshd answers "open failed" to everything it cannot forward. Where its account may run a command,
 * this tells the reasons apart. It only looks: nothing is opened, made or changed.
 */
export function lookScript(socket: string): string {
  return `s=${quoted(socket)}
d=\${s%/*}
echo "user=$(id -un)"
if [ -S "$s" ]; then
  if [ -w "$s" ]; then echo may=yes; else echo may=no; fi
elif [ -e "$s" ]; then echo kind=file
elif [ -d "$d" ] && [ ! -x "$d" ]; then echo may=no
else echo kind=missing
fi
if grep -qF " $s" /proc/net/unix 2>/dev/null; then echo listens=yes; else echo listens=no; fi
exit 0
`;
}

/** @param seen what `lookScript` printed; null when the account may run no command */
export function forwardRefused(
  settings: HostSettings,
  socket: string,
  seen: string | null,
): ZddError {
  const host: [string, string] = ['host', placeOf(settings)];
  const path: [string, string] = ['socket', socket];
  const found = new Map(
    (seen ?? '').split('\n').map((line) => {
      const [name = '', value = ''] = line.split('=');
      return [name, value] as const;
    }),
  );
  const user = found.get('user') ?? settings.user;
  const usual = socket === DEFAULT_SOCKET;
  // Typed here, run there, with a terminal for sudo's question.
  const there = (command: string) => `${sshTo(settings, '-t')} ${command}`;
  const join = there(`sudo usermod -aG zdd ${quoted(user)}`);
  const start = usual
    ? [there('sudo systemctl start zdd-agentd'), there('journalctl -u zdd-agentd -n 50')]
    : [sameCommand('--socket', DEFAULT_SOCKET)];
  if (found.get('may') === 'no') {
    return new LastingError(CODE, `${user} may not use the agent of ${settings.host}`, {
      evidence: [host, path, ['who may', 'root and members of the group zdd']],
      tries: [join],
    });
  }
  if (found.get('may') === 'yes' && found.get('listens') === 'yes') {
    return new LastingError(CODE, `sshd of ${settings.host} does not forward to sockets`, {
      evidence: [
        host,
        path,
        ['mend', 'AllowStreamLocalForwarding yes in sshd_config; no "restrict" before the key'],
      ],
      tries: [there('sudo sshd -T | grep -i forwarding')],
    });
  }
  if (found.get('kind') === 'missing' || found.get('kind') === 'file') {
    return new ZddError(CODE, `there is no agent on ${settings.host}: no such socket`, {
      evidence: [host, path],
      tries: start,
    });
  }
  if (found.get('listens') === 'no') {
    return new ZddError(CODE, `the agent of ${settings.host} is not running: nothing listens`, {
      evidence: [host, path],
      tries: start,
    });
  }
  return new ZddError(CODE, `sshd of ${settings.host} did not connect to the agent`, {
    evidence: [
      host,
      path,
      ['either', 'the agent does not run, or'],
      ['or', `${user} is not in the group zdd, or`],
      ['or', 'sshd has AllowStreamLocalForwarding no'],
    ],
    tries: [...start, join],
  });
}
