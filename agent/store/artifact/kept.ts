/** Where and how much an artifact store may keep. */
export interface ArtifactStoreOptions {
  readonly dir: string;
  /** Size of one artifact, bytes. */
  readonly maxBytes: number;
  /** Free bytes that an upload must leave on the disk. */
  readonly reserveBytes: number;
  /** How long an upload may pause, ms; 60 s unless given. */
  readonly idleMs?: number;
  /** How long an upload that waits for its rest is kept, ms; an hour unless given. */
  readonly uploadKeptMs?: number;
  /** Free bytes of a folder's disk; the file system's own answer unless given. */
  readonly freeBytes?: (dir: string) => Promise<number>;
}

/** An artifact that is whole and on disk. */
export interface ReceivedArtifact {
  /** sha256 of the bytes, hex: its name from now on. */
  readonly artifact: string;
  readonly bytes: number;
  /** The host had these bytes already. */
  readonly reused: boolean;
}
