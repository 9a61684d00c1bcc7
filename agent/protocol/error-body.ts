import { z } from 'zod';
import { ERRORS, type ErrorBody, type ErrorCode } from './errors.ts';

const errorCodes = Object.keys(ERRORS) as [ErrorCode, ...ErrorCode[]];

/** Reads an `ErrorBody` that has travelled or was stored. */
export const errorBody = z.object({
  code: z.enum(errorCodes),
  message: z.string(),
  evidence: z.array(z.tuple([z.string(), z.string()])).default([]),
  traffic: z.string().optional(),
  tries: z.array(z.string()).default([]),
}) satisfies z.ZodType<ErrorBody>;
