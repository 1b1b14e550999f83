import * as z from 'zod/mini';
import { isOrigin } from '../functions/core/origin.ts';

const stageExpected =
  'expected a lower-case letter and then up to 19 lower-case letters, digits or hyphens, for example -c stage=prod';
const baseUrlExpected =
  'expected the origin of Cloud Elements: https (http for a loopback address only), no path, query or user info, ' +
  'for example -c baseUrl=https://api.cloud-elements.com';

const settingsSchema = z.object({
  /** At most 20 characters, because it is part of names that AWS limits. */
  stage: z.string(stageExpected).check(z.regex(/^[a-z][a-z0-9-]{0,19}$/, stageExpected)),
  baseUrl: z.pipe(
    z.string(baseUrlExpected).check(z.refine(isOrigin, baseUrlExpected)),
    z.transform((url) => new URL(url).origin),
  ),
});

export type Settings = z.infer<typeof settingsSchema>;

/** What `-c stage=… -c baseUrl=…` say, or one text that names everything wrong with them, but not their values. */
export function parseSettings(context: {
  stage: unknown;
  baseUrl: unknown;
}): { settings: Settings } | { complaint: string } {
  const parsed = settingsSchema.safeParse(context);
  if (parsed.success) return { settings: parsed.data };
  const problems = parsed.error.issues.map(({ path, message }) => `  ${path.join('.')}: ${message}`);
  return { complaint: ['Wrong context:', ...problems].join('\n') };
}

/** The data of a stage for development goes with its stack; any other stage's stays. */
export function isDisposable({ stage }: Settings): boolean {
  return stage === 'dev' || stage.startsWith('dev-');
}
