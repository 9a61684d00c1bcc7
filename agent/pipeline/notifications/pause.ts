import type { DeploymentKind, PhaseName } from '../../protocol/phase.ts';
import type { VerdictReport } from '../../protocol/verdict.ts';

/** A deployment that waits for somebody, as it is told. It has no receipt yet. */
export interface Pause {
  /** `canary`: it stays until somebody says otherwise. `baking`: a gate holds under all traffic. */
  readonly phase: Extract<PhaseName, 'canary' | 'baking'>;
  /** ms since the epoch */
  readonly at: number;
  readonly reason: string;
  readonly release: string;
  readonly previous: string | null;
  /** Its share of the users. */
  readonly percent: number;
  readonly kind: DeploymentKind;
  readonly owner: string;
  readonly source: string;
  readonly startedAt: number;
  /** What the gates said last. */
  readonly verdicts: readonly VerdictReport[];
}
