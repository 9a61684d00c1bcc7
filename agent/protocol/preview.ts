import { z } from 'zod';

/** Named in `features` of `GET /v1/version` by an agent that has this route. */
export const PREVIEW = 'preview';

/** `POST /v1/apps/:app/preview`: what a push would change. Nothing is changed by asking. */
export const previewRequest = z.strictObject({
  /** The text of its `zdd.yaml`. */
  config: z.string().max(65_536),
  /** The outline of the release; see `manifest.ts`. */
  outline: z.string(),
});
export type PreviewRequest = z.infer<typeof previewRequest>;

/** Paths, at most some of them, and how many there are. */
const paths = z.object({ count: z.int(), some: z.array(z.string()) });

export const previewReply = z.object({
  schemaVersion: z.literal(1),
  app: z.string(),
  /** As it would be called if nothing else came first. */
  release: z.string(),
  /** Its `zdd.yaml` with what this host fixes or overrides. */
  config: z.string(),
  /** The release that serves, and the text of its `zdd.yaml`; null before the first. */
  live: z.object({ release: z.string(), config: z.string() }).nullable(),
  /** Against the release that serves. */
  files: z.object({ added: paths, changed: paths, removed: paths }),
  /** What would have to travel. */
  lacking: z.object({ files: z.int(), bytes: z.int() }),
  /** The managed region of `haproxy.cfg` now, and once the old release has drained. */
  haproxy: z.object({ path: z.string(), before: z.string(), after: z.string() }),
  /** Releases that would be deleted. */
  pruned: z.array(z.string()),
});
export type PreviewReply = z.infer<typeof previewReply>;
