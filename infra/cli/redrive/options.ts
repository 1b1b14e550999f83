import { type Trigger, triggers } from '../../../functions/triggers.ts';
import { parseOptions as parseArguments, UsageError, wholeNumber } from '../command.ts';
import { isQueueName, queueNames, type QueueName } from './dead-letter.ts';

export type Options = {
  stage: string;
  queues: readonly QueueName[];
  /** False: dead letters are only shown. */
  yes: boolean;
  limit: number;
};

const defaultLimit = 1_000;
/** At 50 ms each, this many are done well before they become visible again. */
const maxLimit = 10_000;

export const help = `Shows dead letters, and puts the readable ones back into their queue.

  npm run redrive -- --stage <stage> [options]

Options
  --queue <name>   only that queue: ${queueNames.join(' or ')}
  --yes            put them back; without it the command only shows them, and only their receive counts change
  --limit <n>      receive at most this many per queue (default ${defaultLimit})

Events that cannot be read stay in the dead-letter queue and are listed with the reason, and so do onboarding events that
are too old. An event whose time is later than its arrival is put back with the time of its arrival. Putting an event
back is safe, also more than once.

Exit status: 0 all can be put back · 1 some cannot, or are hidden by another run · 2 wrong command line · 3 a call to AWS
failed, run the command again · 130 interrupted, run the command again.
`;

/** @throws UsageError */
export function parseOptions(args: readonly string[]): Options {
  const { stage, queue, yes, limit } = parseArguments({
    args: [...args],
    options: {
      stage: { type: 'string' },
      queue: { type: 'string' },
      limit: { type: 'string', default: String(defaultLimit) },
      yes: { type: 'boolean', default: false },
    },
  }).values;
  if (stage === undefined) throw new UsageError('Expected --stage <stage>.');
  return {
    stage,
    queues: queue === undefined ? queueNames : [queueNamed(queue)],
    yes,
    limit: wholeNumber('limit', limit, { from: 1, to: maxLimit }),
  };
}

function queueNamed(name: string): QueueName {
  if (isQueueName(name)) return name;
  const rows: [string, Trigger][] = Object.entries(triggers);
  if (rows.some(([functionName, { stream }]) => functionName === name && stream)) {
    throw new UsageError(
      `The dead letters of ${name} are positions in the table's stream, not events: there is nothing to put back. ` +
        'infra/monitoring/README.md, "Runbook: dead letters", says how to publish its results again.',
    );
  }
  throw new UsageError(`Expected --queue to be ${queueNames.join(' or ')}, got "${name}".`);
}
