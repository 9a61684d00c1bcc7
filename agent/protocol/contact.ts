/** Version of the control API. A CLI talks to any agent with the same major number. */
export const API_VERSION = 1;
/** Header of every answer of an agent: its API_VERSION. Agents before 0.2 do not have it. */
export const API_HEADER = 'x-zdd-api';
/** Where the daemon listens unless told otherwise (`ZDD_SOCKET_PATH` or `--socket`). */
export const DEFAULT_SOCKET = '/run/zdd-agent/agent.sock';

/** Headers in which the CLI says who it is. */
export const OWNER_HEADER = 'x-zdd-owner';
export const CLI_HEADER = 'x-zdd-cli';
