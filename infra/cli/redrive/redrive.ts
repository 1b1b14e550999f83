import { SQSClient } from '@aws-sdk/client-sqs';
import { commandLine } from '../command.ts';
import { bad, bold, dim, print } from '../terminal.ts';
import { deadLetterOutput, queueOutput } from '../../outputs.ts';
import { plain } from '../../plain-text.ts';
import { number } from '../onboard/progress.ts';
import { outputsOf, reasonOf, requestHandler, TargetError } from '../onboard/target.ts';
import { linesOf, linesOfUnseen, readDeadLetter, type QueueName } from './dead-letter.ts';
import { holdMessages } from './held-messages.ts';
import { help, parseOptions, type Options } from './options.ts';

/** `npm run redrive`: shows dead letters, and puts the readable ones back into their queue. See `--help`. */

const chosen = commandLine(help, parseOptions, { changesThings: true });

process.exitCode = await main(chosen).catch((error: unknown) => {
  if (error instanceof TargetError) return refuse(error.message, 3);
  // An error of the SDK, with or without a response from AWS.
  if (error instanceof Error && '$metadata' in error) {
    return refuse(
      `A call to SQS failed: ${reasonOf(error)}\nNothing is lost; run the command again. Hidden dead letters ` +
        'become visible again within 15 minutes.',
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
        queueUrl: output(queueOutput(name)),
        deadLetterUrl: output(deadLetterOutput(name)),
      };
      immovable += await redrive(sqs, name, { ...options, ...urls, signal: interruption.signal });
      if (interruption.signal.aborted)
        return refuse('Interrupted; nothing is lost. Run the command again.', 130);
    }
  } finally {
    sqs.destroy();
  }
  return immovable > 0 ? 1 : 0;
}

/** @returns the number of dead letters that cannot be put back or were not received */
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
      print(`${bold(name)}: no ${unseenCount > 0 ? 'visible ' : ''}dead letters`);
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
      print(dim(`Stopped at ${number(limit)} dead letters, the --limit.`));
    }
    for (const line of linesOfUnseen(unseen)) print(dim(line));
    if (!yes && movable.length > 0) print(dim('Nothing was changed. --yes puts the readable ones back.'));
    if (movable.length < all.length) {
      print(dim('The others stay, each for the reason shown; infra/cli/README.md says how to handle them.'));
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
