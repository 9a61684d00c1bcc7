import { join } from 'node:path';

/** Where everything lies on the host. One place for every path, so that no two parts disagree. */
export class Layout {
  readonly stateDir: string;
  readonly runDir: string;
  readonly socketsDir: string;

  /** @param socketsDir where HAProxy looks for the instances' sockets: one folder an app */
  constructor(stateDir: string, runDir: string, socketsDir: string = runDir) {
    this.stateDir = stateDir;
    this.runDir = runDir;
    this.socketsDir = socketsDir;
  }

  get database(): string {
    return join(this.stateDir, 'agent.db');
  }

  /** Received archives, named by their digest. */
  get artifacts(): string {
    return join(this.stateDir, 'artifacts');
  }

  /** Records and output of the instances. */
  get instances(): string {
    return join(this.stateDir, 'instances');
  }

  /** Files of an embedded HAProxy. */
  get haproxy(): string {
    return join(this.stateDir, 'haproxy');
  }

  /** The drop folder: one folder an app, for archives that come by scp or rsync. */
  get incoming(): string {
    return join(this.stateDir, 'incoming');
  }

  /** The folders of the apps. */
  get apps(): string {
    return join(this.stateDir, 'apps');
  }

  releases(app: string): string {
    return join(this.apps, app, 'releases');
  }

  release(app: string, release: string): string {
    return join(this.releases(app), release);
  }

  /** What stays across releases: uploads, .env. */
  shared(app: string): string {
    return join(this.apps, app, 'shared');
  }

  /** Half-unpacked releases: on the same file system as `releases`, so that one rename moves them. */
  staging(app: string): string {
    return join(this.apps, app, 'staging');
  }

  /** The socket of one slot. HAProxy takes at most 97 characters. */
  socket(app: string, slot: string): string {
    return join(this.socketsDir, app, `${slot}.sock`);
  }
}
