import { Duration, Names } from 'aws-cdk-lib';
import { type EventBus, type IEventBus, Match, Rule } from 'aws-cdk-lib/aws-events';
import { SqsQueue } from 'aws-cdk-lib/aws-events-targets';
import * as iam from 'aws-cdk-lib/aws-iam';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import * as sqs from 'aws-cdk-lib/aws-sqs';
import { Construct } from 'constructs';
import {
  deadLetterRetentionMs,
  queueMaxReceiveCount,
  queueRetentionMs,
  queueVisibilityMs,
} from '../../functions/model/timing.ts';
import type { QueueTrigger } from '../../functions/triggers.ts';
import { type SbtSources, withSbtSource } from '../sbt-sources.ts';

/** EventBridge's limits and defaults, written out: how long it retries delivery to the queue. */
const deliveryAttempts = { retryAttempts: 185, maxEventAge: Duration.hours(24) };

/**
 * Bus → rules → queue → function. Events that EventBridge cannot deliver and events that the function cannot handle
 * end in the same dead-letter queue: both are stored as they were sent, and are put back into the queue in the same way.
 */
export class EventQueue extends Construct {
  readonly queue: sqs.Queue;
  readonly deadLetters: sqs.Queue;

  constructor(
    scope: Construct,
    id: string,
    options: {
      trigger: QueueTrigger;
      bus: EventBus | IEventBus;
      tenantSecretsPrefix: string;
      handler: IFunction;
      sbtSources: SbtSources;
    },
  ) {
    super(scope, id);
    const { trigger, bus, tenantSecretsPrefix, handler, sbtSources } = options;
    const common = { enforceSSL: true, encryption: sqs.QueueEncryption.SQS_MANAGED };
    this.deadLetters = new sqs.Queue(this, 'DeadLetters', {
      ...common,
      retentionPeriod: Duration.millis(deadLetterRetentionMs),
    });
    this.queue = new sqs.Queue(this, 'Queue', {
      ...common,
      visibilityTimeout: Duration.millis(queueVisibilityMs),
      retentionPeriod: Duration.millis(queueRetentionMs),
      deadLetterQueue: { queue: this.deadLetters, maxReceiveCount: queueMaxReceiveCount },
    });
    const { queue } = this;
    for (const pattern of trigger.events) {
      const { source = [], 'detail-type': detailType } = withSbtSource(pattern, sbtSources);
      // Named after its pattern, so that a change to one pattern leaves the other rules alone.
      const rule = new Rule(this, [...source, ...detailType].join(' '), {
        eventBus: bus,
        eventPattern: { ...(source.length > 0 && { source: [...source] }), detailType: [...detailType] },
      });
      rule.addTarget(this.#target());
    }
    if (trigger.secretEvents) {
      const { source, 'detail-type': detailType, labelUpdated } = trigger.secretEvents;
      // AWS services send to the account's default bus and to no other.
      new Rule(this, 'secrets', {
        eventPattern: {
          source: [...source],
          detailType: [...detailType],
          detail: { name: Match.prefix(`${tenantSecretsPrefix}/tenants/`), labelUpdated: [...labelUpdated] },
        },
        targets: [this.#target()],
      });
    }
    // Not by `SqsEventSource`, which permits more than Lambda needs:
    // https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
    handler.addToRolePolicy(
      new iam.PolicyStatement({
        actions: ['sqs:DeleteMessage', 'sqs:GetQueueAttributes', 'sqs:ReceiveMessage'],
        resources: [queue.queueArn],
      }),
    );
    // The id that `SqsEventSource` gives it: under another, an update would make a second mapping of the same queue
    // before it removes the first, which Lambda refuses.
    handler.addEventSourceMapping(`SqsEventSource:${Names.nodeUniqueId(queue.node)}`, {
      eventSourceArn: queue.queueArn,
      batchSize: trigger.batchSize,
      maxConcurrency: trigger.maxConcurrency,
      maxBatchingWindow: Duration.seconds(0),
      reportBatchItemFailures: true,
    });
  }

  #target(): SqsQueue {
    return new SqsQueue(this.queue, { ...deliveryAttempts, deadLetterQueue: this.deadLetters });
  }
}
