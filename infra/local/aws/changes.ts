import type { AttributeValue, DynamoDBRecord } from 'aws-lambda';
import { randomUUID } from 'node:crypto';
import type { RequestListener } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import * as z from 'zod/mini';
import { accountId, region } from './aws-protocol.ts';

/** An item as DynamoDB's API and its streams write it; the database has checked it. */
const itemSchema = z.record(z.string(), z.custom<AttributeValue>());
const writeSchema = z.object({
  TableName: z.string(),
  Item: z.optional(itemSchema),
  Key: z.optional(itemSchema),
  UpdateExpression: z.optional(z.string()),
  ExpressionAttributeValues: z.optional(itemSchema),
});
type Write = z.infer<typeof writeSchema>;
type Item = z.infer<typeof itemSchema>;

/**
 * Adds the table's stream to the embedded DynamoDB, which has none: the item before and after each write. Wraps the
 * database from its start on and records every successful PutItem and DeleteItem, in the order of the responses, and
 * every UpdateItem that only sets attributes; other kinds of write are not recorded.
 */
export function recordChanges({
  tableName,
  onChange,
  now = Date.now,
}: {
  tableName: string;
  onChange: (record: DynamoDBRecord) => void;
  now?: () => number;
}) {
  const items = new Map<string, Item>();
  let lastSequenceNumber = 0;

  function record(write: Write): void {
    const { tenantId, elementKey } = write.Item ?? write.Key ?? {};
    const Keys = { ...(tenantId && { tenantId }), ...(elementKey && { elementKey }) };
    const id = JSON.stringify(Object.values(Keys));
    const before = items.get(id);
    const set = write.UpdateExpression === undefined ? undefined : setBy(write);
    if (write.UpdateExpression !== undefined && !set) return;
    const after = set ? { ...before, ...Keys, ...set } : write.Item;
    if (after) items.set(id, after);
    else items.delete(id);
    // A write that changes nothing leaves no trace in a stream.
    if (isDeepStrictEqual(before, after)) return;
    lastSequenceNumber += 1;
    onChange({
      eventID: randomUUID(),
      eventName: after ? (before ? 'MODIFY' : 'INSERT') : 'REMOVE',
      eventVersion: '1.1',
      eventSource: 'aws:dynamodb',
      awsRegion: region,
      dynamodb: {
        ApproximateCreationDateTime: Math.floor(now() / 1_000),
        Keys,
        ...(after && { NewImage: after }),
        ...(before && { OldImage: before }),
        SequenceNumber: String(lastSequenceNumber).padStart(21, '0'),
        StreamViewType: 'NEW_AND_OLD_IMAGES',
      },
      eventSourceARN: `arn:aws:dynamodb:${region}:${accountId}:table/${tableName}/stream/local`,
    });
  }

  return (listener: RequestListener): RequestListener =>
    (request, response) => {
      const [, operation] = String(request.headers['x-amz-target']).split('.');
      if (operation === 'PutItem' || operation === 'UpdateItem' || operation === 'DeleteItem') {
        const body: Buffer[] = [];
        request.on('data', (chunk: Buffer) => body.push(chunk));
        const end = response.end.bind(response);
        response.end = (result?: unknown) => {
          if (response.statusCode === 200) {
            const write = writeSchema.parse(JSON.parse(Buffer.concat(body).toString()));
            if (write.TableName === tableName) record(write);
          }
          return end(result);
        };
      }
      listener(request, response);
    };
}

/** The attributes that an update of the form `SET name = :value, …` sets; undefined for any other form. */
function setBy({ UpdateExpression = '', ExpressionAttributeValues = {} }: Write): Item | undefined {
  const [, assignments = ''] = /^SET (.+)$/.exec(UpdateExpression) ?? [];
  const attributes = assignments.split(',').map((assignment) => {
    const [, name = '', placeholder = ''] = /^\s*(\w+) = (:\w+)\s*$/.exec(assignment) ?? [];
    return [name, ExpressionAttributeValues[placeholder]] as const;
  });
  const item: Item = {};
  for (const [name, value] of attributes) {
    if (!value) return undefined;
    item[name] = value;
  }
  return item;
}
