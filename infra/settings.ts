import * as z from 'zod/mini';
import { isOrigin } from '../functions/model/origin.ts';
import { plain } from './plain-text.ts';
import { sbtSourcesSchema } from './sbt-sources.ts';

const stageExpected =
  'expected a lower-case letter and then up to 19 lower-case letters, digits or hyphens, for example -c stage=prod';
const baseUrlExpected =
  'expected the origin of Cloud Elements: https (http for a loopback address only), no path, query or user info, ' +
  'for example -c baseUrl=https://api.cloud-elements.com';

const alarmTopicExpected =
  'expected the ARN of an SNS topic, for example -c alarmTopicArn=arn:aws:sns:eu-west-1:123456789012:alarms';
const runbookExpected =
  'expected the https address of infra/monitoring/README.md, without fragment or user info, for example ' +
  '-c runbookUrl=https://github.com/example/element-onboarding/blob/main/infra/monitoring/README.md';

const settingsSchema = z.object({
  /** At most 20 characters, because it is part of names that AWS limits. */
  stage: z.string(stageExpected).check(z.regex(/^[a-z][a-z0-9-]{0,19}$/, stageExpected)),
  baseUrl: z.pipe(
    z.string(baseUrlExpected).check(z.refine(isOrigin, baseUrlExpected)),
    z.transform((url) => new URL(url).origin),
  ),
  /** Gets a message when an alarm goes off, and when it is over. */
  alarmTopicArn: z.optional(
    z
      .string(alarmTopicExpected)
      .check(z.regex(/^arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[\w-]{1,256}$/, alarmTopicExpected)),
  ),
  /** The page that alarms link to: `infra/monitoring/README.md`, whose headings are the runbook's entries. */
  runbookUrl: z.optional(
    z.string(runbookExpected).check(z.refine(isPageUrl, runbookExpected), z.maxLength(300, runbookExpected)),
  ),
  /** Event sources of the SaaS Builder Toolkit, where its user has set others than its defaults. */
  sbtSources: z.optional(sbtSourcesSchema),
});

export type Settings = z.infer<typeof settingsSchema>;

function isPageUrl(text: string): boolean {
  const url = URL.parse(text);
  return url?.protocol === 'https:' && !url.username && !url.password && !text.includes('#');
}

const known = Object.keys(settingsSchema.shape);

/** The CLI's own keys, such as `aws:cdk:bundling-stacks`, feature flags, and cached look-ups. */
const isOfCdk = (key: string): boolean => /[:/]/.test(key) || ofCdk.has(key);
const ofCdk = new Set(['cli-telemetry', 'acknowledged-issue-numbers']);

/**
 * Parses the whole context: `-c stage=… -c baseUrl=…` and the like. On failure returns one text that names every fault,
 * and no value. An unknown key is a fault, too: misspelled, it would leave the default in force.
 */
export function parseSettings(
  context: Readonly<Record<string, unknown>>,
): { settings: Settings } | { complaint: string } {
  const unknown = Object.keys(context).filter((key) => !known.includes(key) && !isOfCdk(key));
  const parsed = settingsSchema.safeParse(context);
  if (parsed.success && unknown.length === 0) return { settings: parsed.data };
  const problems = [
    ...unknown.map(
      (key) => `${plain(key)}: unknown key; did you mean ${nearest(key)}? (known: ${known.join(', ')})`,
    ),
    ...(parsed.error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`),
  ];
  return { complaint: ['Wrong context:', ...problems.map((problem) => `  ${problem}`)].join('\n') };
}

function nearest(key: string): string {
  const [first = ''] = known.toSorted((a, b) => distance(key, a) - distance(key, b));
  return first;
}

/** The Levenshtein distance, without regard to case. */
function distance(one: string, other: string): number {
  const [a, b] = [one.toLowerCase(), other.toLowerCase()];
  let row = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const next = [i];
    for (let j = 1; j <= b.length; j++) {
      const replaced = (row[j - 1] ?? 0) + (a[i - 1] === b[j - 1] ? 0 : 1);
      next.push(Math.min(replaced, (row[j] ?? 0) + 1, (next[j - 1] ?? 0) + 1));
    }
    row = next;
  }
  return row[b.length] ?? 0;
}

/** The data of a development stage is deleted with its stack; that of any other stage is retained. */
export function isDisposable({ stage }: Settings): boolean {
  return stage === 'dev' || stage.startsWith('dev-');
}
