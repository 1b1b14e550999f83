import { Duration, Validations } from 'aws-cdk-lib';
import type { Table } from 'aws-cdk-lib/aws-dynamodb';
import * as iam from 'aws-cdk-lib/aws-iam';
import { FilterCriteria, FilterRule, type IFunction, StartingPosition } from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import { deadLetterRetentionMs } from '../../functions/model/timing.ts';
import type { StreamTrigger } from '../../functions/triggers.ts';

/**
 * The table's stream → function, in order. A record that fails is retried, alone as soon as Lambda has isolated it. When
 * Lambda gives up, the record's position in the stream (not its content) goes to the dead-letter queue. The record can
 * be read at that position for as long as the stream keeps it: 24 hours.
 */
export class TableStream extends Construct {
  readonly deadLetters: sqs.Queue;

  constructor(
    scope: Construct,
    id: string,
    { trigger, table, handler }: { trigger: StreamTrigger; table: Table; handler: IFunction },
  ) {
    super(scope, id);
    const { tableStreamArn } = table;
    if (!tableStreamArn) throw new Error('The table has no stream.');
    this.deadLetters = new sqs.Queue(this, 'DeadLetters', {
      enforceSSL: true,
      encryption: sqs.QueueEncryption.SQS_MANAGED,
      retentionPeriod: Duration.millis(deadLetterRetentionMs),
    });
    Validations.of(this.deadLetters).acknowledge({
      id: 'AwsSolutions::AwsSolutions-SQS3',
      reason:
        'It is a dead-letter queue itself: of the mapping below, which is not a queue and has no redrive policy.',
    });
    // Not by `DynamoEventSource`, which permits ListStreams on every table of the account.
    handler.addToRolePolicy(
      new iam.PolicyStatement({
        actions: [
          'dynamodb:DescribeStream',
          'dynamodb:GetRecords',
          'dynamodb:GetShardIterator',
          'dynamodb:ListStreams',
        ],
        resources: [tableStreamArn],
      }),
    );
    // Nor by `SqsDlq`, for the same reason.
    const { queueArn } = this.deadLetters;
    handler.addToRolePolicy(new iam.PolicyStatement({ actions: ['sqs:SendMessage'], resources: [queueArn] }));
    handler.addEventSourceMapping('Changes', {
      eventSourceArn: tableStreamArn,
      startingPosition: StartingPosition.TRIM_HORIZON,
      filters: [FilterCriteria.filter({ dynamodb: { NewImage: imagePattern(trigger.after) } })],
      batchSize: trigger.batchSize,
      // Lambda's default, written out; writes of one tenant stay in order with any value.
      parallelizationFactor: 1,
      reportBatchItemFailures: true,
      bisectBatchOnError: true,
      retryAttempts: trigger.retries,
      maxRecordAge: Duration.hours(trigger.maxAgeHours),
      onFailure: { bind: () => ({ destination: queueArn }) },
    });
  }
}

/** In the form of a DynamoDB item. */
function imagePattern(after: StreamTrigger['after']) {
  return Object.fromEntries(
    Object.entries(after).map(([attribute, values]) => [attribute, { S: FilterRule.or(...values) }]),
  );
}
