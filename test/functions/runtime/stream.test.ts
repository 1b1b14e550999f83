import { beforeEach, expect, test, vi } from 'vitest';
import type { RowChange } from '../../../functions/model/result-events.ts';
import { streamHandler } from '../../../functions/runtime/stream.ts';

type Image = Record<string, unknown>;

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
  vi.spyOn(process.stdout, 'write').mockReturnValue(true);
});

const record = (SequenceNumber: string, OldImage: Image | undefined, NewImage: Image) => ({
  dynamodb: { SequenceNumber, NewImage, ...(OldImage && { OldImage }) },
});
const run = (...Records: ReturnType<typeof record>[]) =>
  handler({ Records }, { awsRequestId: 'r', getRemainingTimeInMillis: () => 1_000 });

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
