import * as z from 'zod/mini';
import { isOrigin } from '../functions/core/origin.ts';

const stageExpected =
  'expected a lower-case letter and then up to 19 lower-case letters, digits or hyphens, for example -c stage=prod';
const baseUrlExpected =
  'expected the origin of Cloud Elements: https (http for a loopback address only), no path, query or user info, ' +
  'for example -c baseUrl=https://api.cloud-elements.com';

const alarmTopicExpected =
  'expected the ARN of an SNS topic, for example -c alarmTopicArn=arn:aws:sns:eu-west-1:123456789012:alarms';
const runbookExpected =
  'expected the https address of this README, without fragment or user info, for example ' +
  '-c runbookUrl=https://github.com/example/element-onboarding/blob/main/README.md';

const settingsSchema = z.object({
  /** At most 20 characters, because it is part of names that AWS limits. */
  stage: z.string(stageExpected).check(z.regex(/^[a-z][a-z0-9-]{0,19}$/, stageExpected)),
  baseUrl: z.pipe(
    z.string(baseUrlExpected).check(z.refine(isOrigin, baseUrlExpected)),
    z.transform((url) => new URL(url).origin),
  ),
  /** Told when an alarm goes off, and when it is over. */
  alarmTopicArn: z.optional(
    z
      .string(alarmTopicExpected)
      .check(z.regex(/^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}$/, alarmTopicExpected)),
  ),
  /** What alarms link to: the README, whose headings are the runbook's entries. */
  runbookUrl: z.optional(
    z.string(runbookExpected).check(z.refine(isPageUrl, runbookExpected), z.maxLength(300, runbookExpected)),
  ),
});

export type Settings = z.infer<typeof settingsSchema>;

function isPageUrl(text: string): boolean {
  const url = URL.parse(text);
  return url?.protocol === 'https:' && !url.username && !url.password && !text.includes('#');
}

/** What `-c stage=… -c baseUrl=…` and the like say, or one text that names everything wrong with them, but not their values. */
export function parseSettings(context: {
  stage: unknown;
  baseUrl: unknown;
  alarmTopicArn?: unknown;
  runbookUrl?: unknown;
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
