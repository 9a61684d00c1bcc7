import type { RequestOptions as HttpOptions } from 'node:http';
import type { ZddError } from '../../../agent/protocol/errors.ts';

/** How bytes get to an agent, and what is said when they do not. */
export interface Way {
  readonly where: string;
  readonly canBeCut: boolean;
  /**
   * Connects, as far as that can be done beforehand: the deadlines of requests begin after it.
   * @param idle called when it is the other side's turn and that will take it some time, if ever
   */
  ready(signal: AbortSignal | undefined, idle: () => void): Promise<void>;
  /** What node:http needs to find its connection. */
  dial(method: 'GET' | 'POST'): Pick<HttpOptions, 'socketPath' | 'agent' | 'createConnection'>;
  /** Whether a connection that was used before may have been closed under this request. */
  readonly reuses: boolean;
  /** @param cause what node:http says */
  unreachable(cause: unknown): ZddError;
  silent(deadlineMs: number): ZddError;
  notUnderstood(request: string, why: string): ZddError;
  close(): void;
}
