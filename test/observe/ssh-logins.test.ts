import { expect, it } from 'vitest';
import { sessionsOf } from '../../agent/observe/ssh-logins.ts';

const line = (at: number, pid: string, message: string): string =>
  JSON.stringify({ __REALTIME_TIMESTAMP: String(at * 1_000), _PID: pid, MESSAGE: message });
const KEY = 'SHA256:ODBMRcnZUSQpZgZQqCeSVTNNN9Dk0J5dxDyEIxT4pqs';
const CERTIFICATE = 'SHA256:AAAARcnZUSQpZgZQqCeSVTNNN9Dk0J5dxDyEIxT4pqs';

it("reads who was logged in, with which key and for how long, off sshd's lines", () => {
  const lines = [
    line(100, '7', `Accepted publickey for deploy from 10.0.0.9 port 5022 ssh2: ED25519 ${KEY}`),
    line(110, '7', 'pam_unix(sshd:session): session opened for user deploy(uid=1000) by (uid=0)'),
    line(
      120,
      '8',
      `Accepted publickey for ann from ::1 port 2 ssh2: ED25519-CERT SHA256:zz ID ann (serial 0) CA ED25519 ${CERTIFICATE}`,
    ),
    line(130, '9', 'Accepted password for eve from 10.0.0.9 port 1 ssh2'),
    line(140, '7', 'pam_unix(sshd:session): session closed for user deploy'),
    '',
  ];
  expect(sessionsOf(lines.join('\n'))).toEqual([
    { user: 'deploy', from: '10.0.0.9', fingerprint: KEY, pid: '7', since: 100, until: 140 },
    { user: 'ann', from: '::1', fingerprint: 'SHA256:zz', pid: '8', since: 120, until: null },
  ]);
});
