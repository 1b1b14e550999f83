import { type Trigger, triggers } from '../../../functions/triggers.ts';
import { parseOptions as parseArguments, UsageError, wholeNumber } from '../command.ts';
import { isQueueName, queueNames, type QueueName } from './dead-letter.ts';

export type Options = {
  stage: string;
  queues: readonly QueueName[];
  /** False: nothing is put back. */
  yes: boolean;
  limit: number;
};

const defaultLimit = 1_000;
/** So many are done well before they are seen again, if each takes 50 ms. */
const maxLimit = 10_000;

export const help = `Shows dead letters, and puts back into their queue those that can be carried out.

  npm run redrive -- --stage <stage> [options]

Options
  --queue <name>   only that queue: ${queueNames.join(' or ')}
  --yes            put them back; without it they are only shown, and nothing changes but how often each was received
  --limit <n>      look at so many of a queue at most (default ${defaultLimit})

What cannot be read stays where it is, and is named; so does an onboarding event that is too old to be carried out. An
event whose time is later than its arrival is put back with the time of its arrival. To put an event back is safe however
often it is done.

Exit status: 0 all can be put back · 1 some cannot, or are hidden by another run · 2 command line wrong · 3 AWS cannot be
worked with, run it again · 130 interrupted, run it again.
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
      `The dead letters of ${name} are places in the table's stream and not events: there is nothing to put back. ` +
        'How its results are told again is in the README, "Runbook: dead letters".',
    );
  }
  throw new UsageError(`Expected --queue to be ${queueNames.join(' or ')}, got "${name}".`);
}
