/** Why a canary, or a rolling deployment, stays where it is. */
export interface Paused {
  readonly by: 'gate' | 'person';
  readonly reason: string;
  readonly at: number;
}
