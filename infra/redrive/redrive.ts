import { SQSClient } from '@aws-sdk/client-sqs';
import { bad, bold, dim, print } from '../local/terminal.ts';
import { UsageError } from '../onboard/options.ts';
import { number } from '../onboard/progress.ts';
import { outputsOf, reasonOf, requestHandler, TargetError } from '../onboard/target.ts';
import { linesOf, readDeadLetter, type QueueName } from './dead-letter.ts';
import { holdMessages } from './held-messages.ts';
import { help, parseOptions, type Options } from './options.ts';

/** `npm run redrive`: shows dead letters, and puts those back that can be carried out. `--help` tells all. */

process.exitCode = await main().catch((error: unknown) => {
  if (error instanceof UsageError) return refuse(`${error.message}\n\n${help}`, 2);
  if (error instanceof TargetError) return refuse(error.message, 3);
  // The SDK's, whether AWS answered or not.
  if (error instanceof Error && '$metadata' in error) {
    return refuse(
      `SQS cannot be worked with: ${reasonOf(error)}\nNothing is lost; run it again. Dead letters that do not show ` +
        'are seen again within 15 minutes.',
      3,
    );
  }
  throw error;
});

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options === 'help') {
    print(help);
    return 0;
  }
  const output = await outputsOf(options.stage);
  const sqs = new SQSClient({ requestHandler });
  const interruption = new AbortController();
  // Only once: the second Ctrl-C ends the process at once.
  for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => interruption.abort());
  let immovable = 0;
  try {
    for (const name of options.queues) {
      const urls = {
        queueUrl: output(outputName(name, 'QueueUrl')),
        deadLetterUrl: output(outputName(name, 'DeadLetterQueueUrl')),
      };
      immovable += await redrive(sqs, name, { ...options, ...urls, signal: interruption.signal });
      if (interruption.signal.aborted) return refuse('Interrupted; nothing is lost. Run it again.', 130);
    }
  } finally {
    sqs.destroy();
  }
  return immovable > 0 ? 1 : 0;
}

/** `onboard-tenants` → `OnboardTenantsQueueUrl`, as `infra/stack.ts` has it. */
function outputName(queue: QueueName, what: string): string {
  return queue.replaceAll(/(?:^|-)(.)/g, (_match, letter: string) => letter.toUpperCase()) + what;
}

/** @returns how many cannot be put back */
async function redrive(
  sqs: SQSClient,
  name: QueueName,
  {
    deadLetterUrl,
    queueUrl,
    limit,
    yes,
    signal,
  }: Options & { deadLetterUrl: string; queueUrl: string; signal: AbortSignal },
): Promise<number> {
  const held = holdMessages(sqs, deadLetterUrl);
  let putBack = 0;
  try {
    const isMore = await held.receive(limit, signal);
    const all = held.messages().map((message) => ({
      message,
      letter: readDeadLetter(name, {
        messageId: message.MessageId,
        arrivedAtMs: Number(message.Attributes.SentTimestamp),
        body: message.Body,
      }),
    }));
    if (all.length === 0) {
      print(`${bold(name)}: no dead letters`);
      return 0;
    }
    print(`${bold(name)}: dead letters\n`);
    for (const line of linesOf(all.map(({ letter }) => letter))) print(line);
    const movable = all.flatMap(({ message, letter: { body } }) =>
      body === undefined ? [] : [{ message, body }],
    );
    try {
      for (const { message, body } of yes ? movable : []) {
        if (signal.aborted) break;
        await held.move(message, { toUrl: queueUrl, body });
        putBack++;
      }
    } finally {
      const left = all.length - putBack;
      print(`\n${number(all.length)} shown, ${number(putBack)} put back, ${number(left)} left`);
    }
    if (isMore && !signal.aborted) print(dim(`It looked at no more than ${number(limit)}; --limit says so.`));
    if (!yes && movable.length > 0) print(dim('Nothing was changed. --yes puts back what is readable.'));
    if (movable.length < all.length) {
      print(dim('The rest stays, each for the reason shown; what to do with it is in the README.'));
    }
    return all.length - movable.length;
  } finally {
    await held.release();
  }
}

function refuse(message: string, exitStatus: number): number {
  process.stderr.write(`${bad(message)}\n`);
  return exitStatus;
}
