import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod/mini';
import { OnboardingError } from '../model/errors.ts';
import { exactNumber, type InstanceKey } from '../model/instance.ts';
import type { RowChange } from '../model/result-events.ts';
import { fromStored } from '../model/table.ts';
import { lazily, type LambdaContext } from './execution-environment.ts';
import { errorFields, log, logRequestId } from './log.ts';
import { measureOutcome, publishMetrics } from './metrics.ts';

/** `unmarshall` checks the attributes. */
const itemSchema = z.record(z.string(), z.custom<AttributeValue>());

/** The used part of a DynamoDB stream's event. */
const streamEventSchema = z.object({
  Records: z.array(
    z.object({
      dynamodb: z.object({
        SequenceNumber: z.string(),
        OldImage: z.optional(itemSchema),
        NewImage: z.optional(itemSchema),
      }),
    }),
  ),
});
type StreamRecord = z.infer<typeof streamEventSchema>['Records'][number];

/**
 * A Lambda handler for the table's stream, whose records come in order. What comes before a record that cannot be read
 * is handled first; from there on, or from the first one when handling fails, they come again.
 */
export function streamHandler<Ports, Change extends InstanceKey & { outcome: string }>(consumer: {
  open: (environment: NodeJS.ProcessEnv) => Ports;
  parse: (change: RowChange) => Change;
  /** Of several changes, in order; may be handed those again that it has handled. */
  handle: (changes: Change[], ports: Ports) => Promise<void>;
}) {
  const ports = lazily(consumer.open);

  return async (rawEvent: unknown, context: LambdaContext) => {
    logRequestId(context);
    const { Records: records } = streamEventSchema.parse(rawEvent);
    const handled = await work(records, context.awsRequestId);
    publishMetrics();
    const failed = records[handled];
    if (!failed) return { batchItemFailures: [] };
    // A failure that is only reported would take the whole batch with it in the end. One that is thrown makes Lambda
    // halve the batch, until the record that cannot be handled stands alone.
    if (handled === 0 && records.length > 1) {
      throw new OnboardingError(
        'internal',
        `None of ${records.length} records could be handled; the log lines before this one tell why.`,
      );
    }
    return { batchItemFailures: [{ itemIdentifier: failed.dynamodb.SequenceNumber }] };
  };

  /** How many of the records, from the first, have been handled. */
  async function work(records: readonly StreamRecord[], awsRequestId: string): Promise<number> {
    const changes: Change[] = [];
    let readable = 0;
    for (const record of records) {
      const change = isMoveOnly(record) ? 'no change' : read(record, awsRequestId);
      if (!change) break;
      readable += 1;
      if (change !== 'no change') changes.push(change);
    }
    try {
      await consumer.handle(changes, ports());
    } catch (error) {
      measureOutcome({ error });
      log.error('changes', {
        awsRequestId,
        count: changes.length,
        outcome: 'failed',
        error: errorFields(error),
      });
      return 0;
    }
    for (const { tenantId, elementKey, outcome } of changes) {
      measureOutcome({});
      log.info('change', { awsRequestId, tenantId, elementKey, outcome });
    }
    return readable;
  }

  function read({ dynamodb }: StreamRecord, awsRequestId: string): Change | undefined {
    const { SequenceNumber: sequenceNumber, OldImage, NewImage } = dynamodb;
    try {
      return consumer.parse({
        before: OldImage && fieldsOf(OldImage),
        after: NewImage && fieldsOf(NewImage),
      });
    } catch (error) {
      measureOutcome({ error: new OnboardingError('internal', 'a record that cannot be read') });
      // Of any other error not even the message: it may quote what the record holds.
      const reason =
        error instanceof OnboardingError
          ? { error: errorFields(error), problems: error.facts.problems }
          : { error: { code: 'internal', message: 'the images are not in the form of a DynamoDB item' } };
      log.error('change', { awsRequestId, sequenceNumber, outcome: 'malformed', ...reason });
      return undefined;
    }
  }
}

/**
 * Has the row only got another place in the index of unsettled rows? The reconciler moves rows there that it cannot
 * read, which must not hold up the results of others here.
 */
function isMoveOnly({ dynamodb: { OldImage, NewImage } }: StreamRecord): boolean {
  return Boolean(OldImage && NewImage) && isDeepStrictEqual(withoutPlace(OldImage), withoutPlace(NewImage));
}

function withoutPlace(image: StreamRecord['dynamodb']['NewImage']) {
  const { checkAt: _checkAt, unsettled: _unsettled, ...others } = image ?? {};
  return others;
}

const fieldsOf = (image: z.infer<typeof itemSchema>): Record<string, unknown> =>
  fromStored(unmarshall(image, { wrapNumbers: exactNumber }));
