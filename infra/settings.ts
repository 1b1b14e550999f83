import * as z from 'zod/mini';
import { isOrigin } from '../functions/model/origin.ts';
import { checkedElementsSchema } from './elements.ts';
import { plain } from './plain-text.ts';
import { sbtSourcesSchema, sourcesSchema } from './sbt-sources.ts';

const stageExpected =
  'expected a lower-case letter and then up to 19 lower-case letters, digits or hyphens, for example prod';
const baseUrlExpected =
  'expected the origin of Cloud Elements: https (http for a loopback address only), no path, query or user info, ' +
  'for example https://api.cloud-elements.com';

const alarmTopicExpected =
  'expected the ARN of an SNS topic, for example arn:aws:sns:eu-west-1:123456789012:alarms';
const eventBusExpected =
  'expected the ARN of an event bus in the account and Region of the stage, for example ' +
  'arn:aws:events:eu-west-1:123456789012:event-bus/tenants';
const runbookExpected =
  'expected the https address of infra/monitoring/README.md, without fragment or user info, for example ' +
  'https://github.com/example/element-onboarding/blob/main/infra/monitoring/README.md';

const ofStage = {
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
  /** Bus of others, on which the stage listens and publishes in place of its own. */
  eventBusArn: z.optional(
    z
      .string(eventBusExpected)
      .check(
        z.regex(/^arn:aws[a-z-]*:events:[a-z0-9-]+:\d{12}:event-bus\/[\w./-]{1,256}$/, eventBusExpected),
      ),
  ),
  /** The page that alarms link to: `infra/monitoring/README.md`, whose headings are the runbook's entries. */
  runbookUrl: z.optional(
    z.string(runbookExpected).check(z.refine(isPageUrl, runbookExpected), z.maxLength(300, runbookExpected)),
  ),
  /** Event sources of the SaaS Builder Toolkit, where its user has set others than its defaults. */
  sbtSources: z.optional(sbtSourcesSchema),
  /** Elements beside those that come with the service, or in their place. */
  elements: z.optional(checkedElementsSchema),
};

const settingsSchema = z.object({
  /** At most 20 characters, because it is part of names that AWS limits. */
  stage: z.string(stageExpected).check(z.regex(/^[a-z][a-z0-9-]{0,19}$/, stageExpected)),
  ...ofStage,
});

const memoryExpected = 'expected a whole number of MiB from 128 to 10240';
const readsExpected = 'expected a whole number of executions, at least 1';

const anyOfCdk = z.optional(z.unknown());

/** The compiler refuses others, but plain JavaScript has none: an ARN in place of a topic would leave alarms without it. */
const objectOfCdk = (property: string, example: string) =>
  z.optional(
    z.custom(
      (value) => typeof value === 'object' && value !== null && property in value,
      `expected an object of CDK, such as ${example}`,
    ),
  );

const limitExpected = 'expected rateLimit, burstLimit or both, each a number of requests';
const limitSchema = z.optional(
  z.strictObject(
    {
      rateLimit: z.optional(z.number(limitExpected)),
      burstLimit: z.optional(z.int(limitExpected)),
    },
    limitExpected,
  ),
);
const throttlingExpected = 'expected limits of read, write or rare';

/** The properties of the construct. Of objects of CDK only the kind is checked. */
const propsSchema = z.object({
  stage: settingsSchema.shape.stage,
  baseUrl: ofStage.baseUrl,
  runbookUrl: ofStage.runbookUrl,
  sbtSources: z.optional(sourcesSchema),
  memorySize: z.optional(
    z.int(memoryExpected).check(z.gte(128, memoryExpected), z.lte(10_240, memoryExpected)),
  ),
  elements: ofStage.elements,
  reservedTokenReads: z.optional(z.int(readsExpected).check(z.gte(1, readsExpected))),
  eventBus: objectOfCdk('eventBusArn', "EventBus.fromEventBusArn(this, 'Bus', arn)"),
  alarmTopic: objectOfCdk('topicArn', "Topic.fromTopicArn(this, 'Topic', arn)"),
  removalPolicy: z.optional(
    z.enum(['destroy', 'retain'], 'expected RemovalPolicy.DESTROY or RemovalPolicy.RETAIN'),
  ),
  logRetention: anyOfCdk,
  throttling: z.optional(
    z.strictObject({ read: limitSchema, write: limitSchema, rare: limitSchema }, throttlingExpected),
  ),
  code: anyOfCdk,
});

/** @throws Error which names every property that is wrong, and no value */
export function checkProps(props: object): z.infer<typeof propsSchema> {
  const parsed = propsSchema.safeParse(props);
  const faults = [
    ...unknownKeys(Object.keys(props), Object.keys(propsSchema.shape)),
    ...(parsed.error?.issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`),
  ];
  if (parsed.success && faults.length === 0) return parsed.data;
  throw new Error(complaintOf('Wrong properties of ElementOnboarding:', faults));
}

/** `stages` of `cdk.json`: the settings of each stage, by its name. */
const stagesSchema = z.record(
  z.string(),
  z.record(z.string(), z.unknown(), 'expected the settings of the stage'),
  'expected an object with the settings of each stage, as in cdk.json',
);

export type Settings = z.infer<typeof settingsSchema>;

function isPageUrl(text: string): boolean {
  const url = URL.parse(text);
  return url?.protocol === 'https:' && !url.username && !url.password && !text.includes('#');
}

/** The CLI's own keys, such as `aws:cdk:bundling-stacks`, feature flags, and cached look-ups. */
const isOfCdk = (key: string): boolean => /[:/]/.test(key) || ofCdk.has(key);
const ofCdk = new Set(['cli-telemetry', 'acknowledged-issue-numbers']);

/**
 * Parses the whole context: the stage, its entry in `stages` of `cdk.json`, and `-c baseUrl=…` and the like, which override
 * the entry. On failure returns one text that names every fault, and no value. An unknown key is a fault, too: misspelled,
 * it would leave the default in force.
 */
export function parseSettings(
  context: Readonly<Record<string, unknown>>,
): { settings: Settings } | { complaint: string } {
  const { stages: given = {}, ...overrides } = context;
  const stages = stagesSchema.safeParse(given);
  const entries = stages.data ?? {};
  const { stage } = overrides;
  const entry = typeof stage === 'string' ? entryOf(stage, entries) : undefined;
  const parsed = settingsSchema.safeParse({ ...entry, ...overrides });
  const stageWithoutEntry =
    stages.success && !entry ? settingsSchema.shape.stage.safeParse(stage).data : undefined;
  // Without an entry its base URL is missing, too: the entry is the fault to name.
  const issues = parsed.error?.issues.filter(
    ({ path: [key] }) =>
      stageWithoutEntry === undefined || key !== 'baseUrl' || overrides['baseUrl'] !== undefined,
  );
  const faults = [
    ...unknownKeys(
      Object.keys(overrides).filter((key) => !isOfCdk(key)),
      [...Object.keys(settingsSchema.shape), 'stages'],
    ),
    ...Object.entries(entries).flatMap(([name, settings]) =>
      unknownKeys(Object.keys(settings), Object.keys(ofStage), `stages.${plain(name)}.`),
    ),
    ...(stages.error?.issues ?? []).map(
      ({ path, message }) => `${['stages', ...path].join('.')}: ${message}`,
    ),
    ...(issues ?? []).map(({ path, message }) => `${path.join('.')}: ${message}`),
    ...(stageWithoutEntry === undefined ? [] : [withoutEntry(stageWithoutEntry, Object.keys(entries))]),
  ];
  if (parsed.success && faults.length === 0) return { settings: parsed.data };
  return { complaint: complaintOf('Wrong context:', faults) };
}

const complaintOf = (title: string, faults: readonly string[]): string =>
  [title, ...faults.map((fault) => `  ${fault}`)].join('\n');

/** Development stages without an entry of their own share the entry `dev`; to them an empty one is enough. */
function entryOf(
  stage: string,
  stages: z.infer<typeof stagesSchema>,
): Readonly<Record<string, unknown>> | undefined {
  if (Object.hasOwn(stages, stage)) return stages[stage];
  return isDisposable({ stage }) ? (stages['dev'] ?? {}) : undefined;
}

/** Without an entry a mistyped stage would be deployed as a new one, with the defaults of another. */
const withoutEntry = (stage: string, known: readonly string[]): string =>
  `stage: "${stage}" has no entry in "stages" of cdk.json (there: ${known.map(plain).join(', ') || 'none'}); add one with its ` +
  'settings, for example "stages": {"' +
  `${stage}": {"baseUrl": "https://api.cloud-elements.com"}}`;

function unknownKeys(keys: readonly string[], known: readonly string[], prefix = ''): string[] {
  return keys
    .filter((key) => !known.includes(key))
    .map(
      (key) =>
        `${prefix}${plain(key)}: unknown key; did you mean ${nearest(key, known)}? (known: ${known.join(', ')})`,
    );
}

function nearest(key: string, known: readonly string[]): string {
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
export function isDisposable({ stage }: Pick<Settings, 'stage'>): boolean {
  return stage === 'dev' || stage.startsWith('dev-');
}
