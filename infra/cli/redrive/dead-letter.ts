import * as z from 'zod/mini';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { offboardingFromEvent, settingsFromEvent } from '../../../functions/model/events.ts';
import { elementKeySchema, tenantIdSchema } from '../../../functions/model/instance.ts';
import { parseJson } from '../../../functions/model/json.ts';
import { secretChangeFromEvent } from '../../../functions/model/secret-events.ts';
import { oldestOnboardingMs } from '../../../functions/model/timing.ts';
import { type FunctionName, type Trigger, triggers } from '../../../functions/triggers.ts';
import { bad, bold, good } from '../terminal.ts';
import { number } from '../onboard/progress.ts';

/** A queue that brings events to a function, by the function's name. */
export type QueueName = {
  [Name in FunctionName]: (typeof triggers)[Name] extends { queue: unknown } ? Name : never;
}[FunctionName];

/** The parser that the function itself uses. */
const parsers: Record<
  QueueName,
  (event: unknown, arrivedAt: number) => { tenantId: string; elementKey: string | undefined }
> = {
  'onboard-tenants': settingsFromEvent,
  'offboard-tenants': offboardingFromEvent,
  'apply-secrets': secretChangeFromEvent,
};

export const isQueueName = (name: string): name is QueueName => Object.hasOwn(parsers, name);
export const queueNames = Object.keys(parsers).filter(isQueueName);

/** The parts of a message that may be shown: none is text that a sender can choose freely. */
type Shown = {
  /** SQS's id of the message, which the log has, too. */
  messageId: string;
  /** The event's time, cut to the message's arrival. */
  sentAt: Date;
  detailType: string | undefined;
  tenantId: string | undefined;
  elementKey: string | undefined;
};

/** `fault`: the reason why it stays in the dead-letter queue. `body`: the text that goes back into the queue. */
export type DeadLetter = Shown &
  ({ fault: string; body?: never } | { fault?: never; body: string; isCut: boolean });

/**
 * @param arrivedAtMs when the message first came into a queue: SQS's `SentTimestamp`, which a message keeps when SQS
 * moves it to the dead letters
 */
export function readDeadLetter(
  queue: QueueName,
  { messageId, arrivedAtMs, body }: { messageId: string; arrivedAtMs: number; body: string },
  nowMs = Date.now(),
): DeadLetter {
  const parsed = parseJson(body);
  const event = 'json' in parsed ? parsed.json : undefined;
  const { 'detail-type': detailType, time, detail } = recognisableSchema.parse(event);
  const isCut = time !== undefined && Date.parse(time) > arrivedAtMs;
  const sentAt = new Date(isCut || time === undefined ? toTheSecond(arrivedAtMs) : time);
  const shown = { messageId, sentAt, detailType };
  try {
    const { tenantId, elementKey } = parsers[queue](event, arrivedAtMs);
    const read = { ...shown, tenantId, elementKey };
    if (queue === 'onboard-tenants' && nowMs - sentAt.getTime() > oldestOnboardingMs) {
      return { ...read, fault: `is older than ${oldestOnboardingDays} days and would be ignored` };
    }
    return { ...read, isCut, body: isCut ? withTime(sentAt, body) : body };
  } catch (error) {
    return {
      ...shown,
      tenantId: detail?.tenantId,
      elementKey: detail?.element?.key,
      fault: 'fault' in parsed ? `is not ${parsed.fault}` : faultOf(error),
    };
  }
}

const oldestOnboardingDays = oldestOnboardingMs / (24 * 60 * 60 * 1_000);

/**
 * The function limits an event's time to its message's arrival. The message that goes back arrives later than the first
 * one, so the time is limited in its body, with a mark: it is the queue's time from then on, not the sender's.
 */
function withTime(sentAt: Date, body: string): string {
  return JSON.stringify({
    ...z.looseObject({}).parse(JSON.parse(body)),
    time: toTheSecond(sentAt.getTime()),
    isTimeCut: true,
  });
}

/** As EventBridge writes times: ISO 8601, whole seconds, rounded down. */
const toTheSecond = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, 'Z');

const rows: Trigger[] = Object.values(triggers);
const detailTypes = rows.flatMap(({ queue }) => [
  ...(queue?.events.flatMap((event) => event['detail-type']) ?? []),
  ...(queue?.secretEvents?.['detail-type'] ?? []),
]);

const ifValid = <T>(schema: z.ZodMiniType<T>) => z.catch(z.optional(schema), undefined);
/** The valid fields of an event that is invalid as a whole. */
const recognisableSchema = z.catch(
  z.object({
    'detail-type': ifValid(z.enum(detailTypes)),
    time: ifValid(z.iso.datetime({ offset: true })),
    detail: ifValid(
      z.object({
        tenantId: ifValid(tenantIdSchema),
        element: ifValid(z.object({ key: ifValid(elementKeySchema) })),
      }),
    ),
  }),
  { 'detail-type': undefined, time: undefined, detail: undefined },
);

const maxProblems = 3;

/** The parser's messages name fields and the expected values, and never quote a value. */
function faultOf(error: unknown): string {
  const problems = (error instanceof OnboardingError && error.facts.problems) || [];
  if (problems.length === 0) return 'cannot be read';
  const named = problems
    .slice(0, maxProblems)
    .map((problem) => ('pointer' in problem ? `${problem.pointer} ${problem.detail}` : problem.detail));
  const more = problems.length - named.length;
  return [...named, ...(more > 0 ? [`and ${more} more`] : [])].join('; ');
}

/** A header and one line per dead letter, the oldest first. */
export function linesOf(letters: readonly DeadLetter[]): string[] {
  const cells = letters
    .toSorted((a, b) => a.sentAt.getTime() - b.sentAt.getTime())
    .map(({ sentAt, detailType = '?', tenantId = '?', elementKey, messageId, ...letter }) => ({
      columns: [
        toTheSecond(sentAt.getTime()),
        detailType,
        tenantId,
        elementKey ?? (letter.fault === undefined ? '(all)' : '?'),
      ],
      decision:
        letter.fault === undefined
          ? good(letter.isCut ? 'readable, its time cut to its arrival' : 'readable')
          : `${bad(letter.fault)} (message ${messageId})`,
    }));
  const head = ['sent', 'event', 'tenant', 'element'];
  const widths = head.map((name, index) =>
    Math.max(name.length, ...cells.map(({ columns }) => columns[index]?.length ?? 0)),
  );
  const aligned = (columns: readonly string[]) =>
    columns.map((text, index) => text.padEnd(widths[index] ?? 0)).join('  ');
  return [
    bold(aligned(head).trimEnd()),
    ...cells.map(({ columns, decision }) => `${aligned(columns)}  ${decision}`),
  ];
}

/** Describes dead letters that are in the queue but not in the list. SQS counts approximately. */
export function linesOfUnseen({ visible, hidden }: { visible: number; hidden: number }): string[] {
  return [
    ...(visible > 0
      ? [`In the queue, but not received: about ${number(visible)}. Run the command again.`]
      : []),
    ...(hidden > 0
      ? [
          `Hidden: about ${number(hidden)}. Another run holds them, or one that was killed: they become visible ` +
            'again within 15 minutes.',
        ]
      : []),
  ];
}
