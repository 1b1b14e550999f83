import { beforeEach, describe, expect, test } from 'vitest';
import { OnboardingError } from '../../../functions/model/errors.ts';
import type { RowChange } from '../../../functions/model/result-events.ts';
import { log } from '../../../functions/runtime/log.ts';
import { streamHandler } from '../../../functions/runtime/stream.ts';
import { captureLines, context, logIn, metricsIn } from '../../support/written-lines.ts';

type Image = Record<string, unknown>;

const lines = captureLines();
const told: RowChange[][] = [];
const handler = streamHandler({
  open: () => undefined,
  parse: (change) => ({ tenantId: 'acme', elementKey: 'taxify', outcome: 'told', change }),
  handle: (changes) => {
    told.push(changes.map(({ change }) => change));
    return Promise.resolve();
  },
});

beforeEach(() => {
  told.length = 0;
});

const record = (SequenceNumber: string, OldImage: Image | undefined, NewImage: Image) => ({
  dynamodb: { SequenceNumber, NewImage, ...(OldImage && { OldImage }) },
});
const run = (...Records: ReturnType<typeof record>[]) => handler({ Records }, context);

const written = { tenantId: { S: 'acme' }, status: { S: 'active' } };
const asWritten = { before: undefined, after: { tenantId: 'acme', status: 'active' } };

/** The row at two places in the index of unsettled rows. */
const moved = (row: Image): [Image, Image] => [
  { ...row, checkAt: { N: '1' }, unsettled: { S: 'first' } },
  { ...row, checkAt: { N: '2' }, unsettled: { S: 'later' } },
];

test('a stream record that changes only index attributes is skipped, even if its row is unreadable', async () => {
  const unreadable = { ...written, tags: { Unheard: 'of' } };
  expect(await run(record('1', ...moved(unreadable)), record('2', undefined, written))).toEqual({
    batchItemFailures: [],
  });
  expect(told).toEqual([[asWritten]]);
});

test('an unreadable row that changes beyond its index attributes holds up later records', async () => {
  const [before, after] = moved(written);
  const unreadable = { ...after, tags: { Unheard: 'of' } };
  const response = await run(
    record('1', undefined, written),
    record('2', before, unreadable),
    record('3', undefined, written),
  );
  expect(response).toEqual({ batchItemFailures: [{ itemIdentifier: '2' }] });
  expect(told).toEqual([[asWritten]]);
});

test('a record with only index changes before an unreadable one counts as handled', async () => {
  const unreadable = { ...written, tags: { Unheard: 'of' } };
  const response = await run(record('1', ...moved(written)), record('2', undefined, unreadable));
  expect(response).toEqual({ batchItemFailures: [{ itemIdentifier: '2' }] });
});

test('a number beyond double precision is published as written', async () => {
  await run(record('1', undefined, { ...written, odd: { N: '12345678901234567890.5' } }));
  expect(told).toEqual([
    [{ before: undefined, after: { ...asWritten.after, odd: '12345678901234567890.5' } }],
  ]);
});

/** The images name the outcome of the row. */
const outcomeOf = (after: unknown) => String(Object(after).name);

const named = (name: string, sequence = name) => record(sequence, undefined, { name: { S: name } });

const changed = (outcome: string) => ({
  level: 'INFO',
  message: 'change',
  awsRequestId: 'request-1',
  tenantId: 'acme',
  elementKey: 'taxify',
  outcome,
});

describe('outcomes of a batch', () => {
  const problems = [{ pointer: '#/name', detail: 'expected text' }];
  let opened = 0;
  const outcomes: string[][] = [];
  beforeEach(() => {
    outcomes.length = 0;
  });
  const handlerOf = streamHandler({
    open: () => (opened += 1),
    parse: ({ after }) => {
      const outcome = outcomeOf(after);
      if (outcome === 'refused') throw new OnboardingError('invalid-request', 'No row.', { problems });
      return { tenantId: 'acme', elementKey: 'taxify', outcome };
    },
    handle: async (changes, ports) => {
      outcomes.push([String(ports), ...changes.map(({ outcome }) => outcome)]);
      if (changes.some(({ outcome }) => outcome === 'failing'))
        throw new OnboardingError('aws-unavailable', 'No bus.');
    },
  });
  const deliver = (...names: string[]) =>
    handlerOf({ Records: names.map((name) => named(name, `at-${name}`)) }, context);

  test('each handled change has a log line and counts, and ports are opened once', async () => {
    expect(await deliver('a', 'b')).toEqual({ batchItemFailures: [] });
    expect(logIn(lines)).toMatchObject([changed('a'), changed('b')]);
    expect(metricsIn(lines)).toEqual({ Succeeded: [1, 1] });
    await deliver('c');
    expect(outcomes[1]).toEqual([outcomes[0]?.[0], 'c']);
  });

  test('a batch that cannot be handled is logged once, with the number of its changes', async () => {
    const failing = deliver('a', 'failing', 'c');
    await expect(failing).rejects.toMatchObject({
      code: 'internal',
      message: 'None of 3 records could be handled; the log lines before this one tell why.',
    });
    expect(logIn(lines)).toMatchObject([
      {
        level: 'ERROR',
        message: 'changes',
        awsRequestId: 'request-1',
        count: 3,
        outcome: 'failed',
        error: { code: 'aws-unavailable', message: 'No bus.' },
      },
    ]);
    expect(metricsIn(lines)).toEqual({ Failed: [1] });
    expect(await deliver('failing')).toEqual({ batchItemFailures: [{ itemIdentifier: 'at-failing' }] });
  });

  test('a row in another form is logged with its place and faults, after the changes before it', async () => {
    expect(await deliver('a', 'refused', 'b')).toEqual({
      batchItemFailures: [{ itemIdentifier: 'at-refused' }],
    });
    expect(logIn(lines)).toMatchObject([
      {
        level: 'ERROR',
        message: 'change',
        awsRequestId: 'request-1',
        sequenceNumber: 'at-refused',
        outcome: 'malformed',
        error: { code: 'invalid-request', message: 'No row.' },
        problems,
      },
      changed('a'),
    ]);
    expect(metricsIn(lines)).toEqual({ Failed: [1], Succeeded: [1] });
  });

  test('images in another form are logged without a word of them', async () => {
    const unheard = record('at-1', undefined, { name: { Unheard: 'hush' } });
    expect(await handlerOf({ Records: [unheard] }, context)).toEqual({
      batchItemFailures: [{ itemIdentifier: 'at-1' }],
    });
    expect(logIn(lines)).toMatchObject([
      {
        outcome: 'malformed',
        error: { code: 'internal', message: 'the images are not in the form of a DynamoDB item' },
      },
    ]);
    expect(JSON.stringify(lines)).not.toContain('hush');
  });

  test('every log line of a batch has the id of its invocation', async () => {
    const logging = streamHandler({
      open: () => undefined,
      parse: () => ({ tenantId: 'acme', elementKey: 'taxify', outcome: 'any' }),
      handle: async () => log.info('inside', {}),
    });
    await logging({ Records: [named('a')] }, { ...context, awsRequestId: 'request-2' });
    expect(logIn(lines)).toMatchObject([{ awsRequestId: 'request-2' }, { awsRequestId: 'request-2' }]);
  });

  test('an empty batch is handled', async () => {
    expect(await deliver()).toEqual({ batchItemFailures: [] });
  });

  test('a removed row is parsed with its old image alone', async () => {
    const OldImage = { name: { S: 'old' } };
    await handler({ Records: [{ dynamodb: { SequenceNumber: '1', OldImage } }] }, context);
    expect(told).toEqual([[{ before: { name: 'old' }, after: undefined }]]);
  });

  test.each([
    ['first', undefined, { checkAt: { N: '1' }, unsettled: { S: 'first' } }],
    ['last', { checkAt: { N: '1' }, unsettled: { S: 'first' } }, undefined],
  ])(
    'the %s image of a row with nothing but a place in the index is a change',
    async (_which, OldImage, NewImage) => {
      const dynamodb = { SequenceNumber: '1', ...(OldImage && { OldImage }), ...(NewImage && { NewImage }) };
      await handler({ Records: [{ dynamodb }] }, context);
      expect(told).toHaveLength(1);
      expect(told[0]).toHaveLength(1);
    },
  );
});
