import { z } from 'zod';

/**
 * An upload grows by appending until it is finished, over as many connections as that takes. The
 * sender chooses its id, so that not even the first answer is needed to go on after a cut.
 *
 * - `GET  /v1/uploads/:id` tells how many bytes there are (0 when the agent knows nothing of it);
 * - `POST /v1/uploads/:id?offset=N` appends the body. With `app`, what has come by its end is the
 *   outline of a release (see `manifest.ts`), first and alone in a packed tar, and the answer tells
 *   which of its files the agent lacks: those follow in the same tar, `zdd.yaml` before all others;
 * - `POST /v1/uploads/:id/finish` checks the whole and makes it an artifact;
 * - `POST /v1/uploads/:id/cancel` removes it. One that is left alone is removed after an hour.
 */
export const uploadParams = z.object({ id: z.string().regex(/^[0-9a-f]{32}$/) });

export const appendQuery = z.object({
  offset: z.coerce.number().int().min(0),
  /** How many bytes the whole will have, where that is known: checked before one is written. */
  bytes: z.coerce.number().int().min(1).optional(),
  app: z.string().optional(),
});

/** Answer to each of them but `finish`. */
export const uploadReply = z.object({
  /** Bytes that are there. */
  offset: z.int(),
  /** With `app`: files that are lacking, as ranges of their places among the files of the outline. */
  lacking: z.array(z.tuple([z.int(), z.int()])).optional(),
});
export type UploadReply = z.infer<typeof uploadReply>;

/** Answered by an `artifactReply`. */
export const finishRequest = z.strictObject({
  bytes: z.int().min(1),
  sha256: z.string().regex(/^[0-9a-f]{64}$/),
});
export type FinishRequest = z.infer<typeof finishRequest>;

/** Named in `features` of `GET /v1/version` by an agent that has these routes. */
export const UPLOADS = 'uploads';
