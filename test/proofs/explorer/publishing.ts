import type { PutEventsCommand, PutEventsCommandOutput } from '@aws-sdk/client-eventbridge';
import { createEventPublisher } from '../../../functions/adapters/event-publisher.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import type { Result } from '../../../functions/model/result-events.ts';
import { triggers } from '../../../functions/triggers.ts';
import type { Choose } from './choices.ts';

/** How often entries and calls may fail. */
export type Failures = { left: number };

const ways = {
  entry: [
    { label: 'taken', weight: 9 },
    { label: 'refused', weight: 1 },
  ],
  call: [
    { label: 'answered', weight: 9 },
    { label: 'fails, though done', weight: 1 },
    { label: 'fails', weight: 1 },
  ],
};

/**
 * Publishes the results of writes as the table's stream delivers them: in order, a batch at a time, and from its
 * beginning again when it fails. EventBridge accepts and refuses entries by the schedule's choices.
 * @returns the fault in the order in which they reached a consumer, if any
 */
export async function publishAll(
  results: readonly Result[],
  { choose, failures }: { choose: Choose; failures: Failures },
): Promise<string | undefined> {
  const consumer = createConsumer(results);
  const chooseFailure = (options: (typeof ways)['call']): string => {
    const option = failures.left > 0 ? options[choose(options)] : options[0];
    if (option !== options[0]) failures.left -= 1;
    return option?.label ?? '';
  };

  async function send({ input }: PutEventsCommand): Promise<PutEventsCommandOutput> {
    const way = chooseFailure(ways.call);
    if (way === 'fails') throw new OnboardingError('aws-unavailable', 'No answer.');
    const names = (input.Entries ?? []).map(nameOfEntry);
    consumer.isCarried(names);
    const Entries = names.map((name) => {
      if (chooseFailure(ways.entry) === 'refused') return { ErrorCode: 'ThrottlingException' };
      consumer.receive(name);
      return { EventId: name };
    });
    if (way === 'fails, though done') throw new OnboardingError('aws-unavailable', 'No answer.');
    return { Entries, $metadata: {} };
  }

  const publish = createEventPublisher({ client: { send }, busName: 'bus', sleep: async () => {} });
  const { batchSize } = triggers['publish-results'].stream;
  for (let start = 0; start < results.length; start += batchSize) {
    const batch = results.slice(start, start + batchSize);
    while (!(await isPublished(() => publish(batch)))) if (consumer.fault()) break;
  }
  return consumer.fault() ?? consumer.missing();
}

async function isPublished(publish: () => Promise<void>): Promise<boolean> {
  try {
    await publish();
    return true;
  } catch (error) {
    if (error instanceof OnboardingError) return false;
    throw error;
  }
}

/** A consumer on the bus that follows the state of tenants by their results. */
function createConsumer(results: readonly Result[]) {
  let fault: string | undefined;
  const received = new Set<string>();
  const writeOf = new Map(
    results.flatMap((result, write) => result.events.map((event) => [nameOfEvent(event), write])),
  );
  const report = (what: string): void => {
    fault ??= what;
  };

  /** An entry arrives, perhaps not for the first time. */
  function receive(name: string): void {
    const write = writeOf.get(name) ?? -1;
    const { tenantId } = results[write] ?? {};
    const earlier = results
      .slice(0, Math.max(write, 0))
      .filter((result) => result.tenantId === tenantId)
      .flatMap(({ events }) => events.map(nameOfEvent))
      .find((each) => !received.has(each));
    if (earlier !== undefined && !received.has(name)) report(`"${name}" overtakes "${earlier}"`);
    received.add(name);
  }

  /** Delivers the entries of one call: each can be refused alone. */
  function isCarried(names: readonly string[]): void {
    const writes = new Set(names.map((name) => writeOf.get(name) ?? -1));
    const tenants = [...writes].map((write) => results[write]?.tenantId);
    if (new Set(tenants).size < tenants.length) report('one call has results of two writes of a tenant');
  }

  function missing(): string | undefined {
    const name = [...writeOf.keys()].find((each) => !received.has(each));
    return name && `"${name}" never comes`;
  }

  return { receive, isCarried, missing, fault: () => fault };
}

type Entry = NonNullable<PutEventsCommand['input']['Entries']>[number];

const nameOfEntry = ({ DetailType, Detail, Time }: Entry): string =>
  `${DetailType} ${Detail} ${Time?.getTime()}`;

const nameOfEvent = ({ detailType, detail, timeMs }: Result['events'][number]): string =>
  `${detailType} ${JSON.stringify(detail)} ${timeMs}`;
