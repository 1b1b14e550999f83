import { SQSClient } from '@aws-sdk/client-sqs';
import { commandLine } from '../command.ts';
import { bad, bold, dim, print } from '../terminal.ts';
import { plain } from '../../plain-text.ts';
import { number } from '../onboard/progress.ts';
import { outputsOf, reasonOf, requestHandler, TargetError } from '../onboard/target.ts';
import { linesOf, linesOfUnseen, readDeadLetter, type QueueName } from './dead-letter.ts';
import { holdMessages } from './held-messages.ts';
import { help, parseOptions, type Options } from './options.ts';

/** `npm run redrive`: shows dead letters, and puts those back that can be carried out. `--help` tells all. */

const asked = commandLine(help, parseOptions, { changesThings: true });

process.exitCode = await main(asked).catch((error: unknown) => {
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

async function main(options: Options): Promise<number> {
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

/** @returns how many cannot be put back, or were not seen */
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
    await held.receive(limit, signal);
    const others = await held.countOthers();
    const all = held.messages().map((message) => ({
      message,
      letter: readDeadLetter(name, {
        messageId: message.MessageId,
        arrivedAtMs: Number(message.Attributes.SentTimestamp),
        body: message.Body,
      }),
    }));
    const isLimited = all.length >= limit && others.visible > 0;
    const unseen = { ...others, ...(isLimited && { visible: 0 }) };
    const unseenCount = unseen.visible + unseen.hidden;
    if (all.length === 0) {
      print(`${bold(name)}: no dead letters${unseenCount > 0 ? ' to be seen' : ''}`);
      for (const line of linesOfUnseen(unseen)) print(dim(line));
      return unseenCount;
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
    if (isLimited && !signal.aborted) {
      print(dim(`It looked at no more than ${number(limit)}; --limit says so.`));
    }
    for (const line of linesOfUnseen(unseen)) print(dim(line));
    if (!yes && movable.length > 0) print(dim('Nothing was changed. --yes puts back what is readable.'));
    if (movable.length < all.length) {
      print(dim('The rest stays, each for the reason shown; what to do with it is in the README.'));
    }
    return all.length - movable.length + unseenCount;
  } finally {
    await held.release();
  }
}

function refuse(message: string, exitStatus: number): number {
  process.stderr.write(`${bad(plain(message))}\n`);
  return exitStatus;
}
