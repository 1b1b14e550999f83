import * as z from 'zod/mini';
import { OnboardingError } from '../model/errors.ts';
import { parseJson } from '../model/json.ts';
import { lazily, type LambdaContext } from './execution-environment.ts';
import { errorFields, log, logRequestId } from './log.ts';
import { measureOutcome, publishMetrics } from './metrics.ts';

/** The used part of an SQS event: each body holds one EventBridge event. */
const queueEventSchema = z.object({
  Records: z.array(
    z.object({
      messageId: z.string(),
      body: z.string(),
      attributes: z.object({
        SentTimestamp: z.string().check(z.regex(/^\d+$/, 'ms since the epoch')),
        ApproximateReceiveCount: z.string().check(z.regex(/^\d+$/, 'a number')),
      }),
    }),
  ),
});

/**
 * `deliveries`: how often the message has been delivered, this time included. `deadlineAt`: when the invocation ends.
 */
export type Delivery = { deadlineAt: number; deliveries: number };

/** `retry`: the message must come again. */
export type MessageOutcome = { outcome: string; retry: boolean; provisionId?: string | undefined };

/**
 * A Lambda handler for a queue with partial batch responses. All messages of a batch are worked at once, and none
 * decides over another: a message that cannot be read, or may succeed later, goes back to the queue and, delivered too
 * often, to the dead-letter queue; one that is refused for good is acknowledged.
 */
export function queueHandler<
  Ports,
  Message extends { tenantId: string; elementKey: string | undefined },
>(consumer: {
  open: (environment: NodeJS.ProcessEnv) => Ports;
  /** Such a message is done without being parsed. */
  isNotOurs: (body: unknown) => boolean;
  /** `arrivedAt`: when the message first came into the queue, ms since the epoch. */
  parse: (body: unknown, arrivedAt: number) => Message;
  handle: (message: Message, delivery: Delivery, ports: Ports) => Promise<MessageOutcome>;
}) {
  const ports = lazily(consumer.open);

  return async (rawEvent: unknown, context: LambdaContext) => {
    const deadlineAt = Date.now() + context.getRemainingTimeInMillis();
    logRequestId(context);
    const { Records: records } = queueEventSchema.parse(rawEvent);
    const outcomes = await Promise.all(
      records.map(async ({ messageId, body, attributes }) => {
        const startedAt = Date.now();
        const arrivedAt = Number(attributes.SentTimestamp);
        const deliveries = Number(attributes.ApproximateReceiveCount);
        const { outcome, retry, ...facts } = await work(body, arrivedAt, { deadlineAt, deliveries });
        log[retry ? 'warn' : 'info']('message', {
          awsRequestId: context.awsRequestId,
          messageId,
          outcome,
          retry,
          ...facts,
          durationMs: Date.now() - startedAt,
        });
        return { messageId, retry };
      }),
    );
    publishMetrics();
    return {
      batchItemFailures: outcomes
        .filter(({ retry }) => retry)
        .map(({ messageId }) => ({ itemIdentifier: messageId })),
    };
  };

  async function work(body: string, arrivedAt: number, delivery: Delivery) {
    const parsed = parseJson(body);
    const json = 'json' in parsed ? parsed.json : undefined;
    if (consumer.isNotOurs(json)) {
      measureOutcome({});
      return { outcome: 'not-ours', retry: false };
    }
    let message: Message;
    try {
      message = consumer.parse(json, arrivedAt);
    } catch (error) {
      measureOutcome({ error });
      return { outcome: 'malformed', retry: true, error: malformedFields(error) };
    }
    const { tenantId, elementKey } = message;
    try {
      const handled = await consumer.handle(message, delivery, ports());
      measureOutcome({ isPending: handled.retry });
      return { tenantId, elementKey, ...handled };
    } catch (error) {
      measureOutcome({ error });
      const retry = !(error instanceof OnboardingError) || error.retryable;
      return {
        tenantId,
        elementKey,
        outcome: retry ? 'failed' : 'refused',
        retry,
        error: errorFields(error),
      };
    }
  }
}

function malformedFields(error: unknown) {
  const problems = error instanceof OnboardingError ? error.facts.problems : undefined;
  return { ...errorFields(error), problems };
}
