import type { AttributeValue, DynamoDBRecord } from 'aws-lambda';
import { randomUUID } from 'node:crypto';
import type { RequestListener, ServerResponse } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
import { crc32 } from 'node:zlib';
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
  ReturnValuesOnConditionCheckFailure: z.optional(z.string()),
});
/** The requests of a table, each one put or delete. */
const batchSchema = z.object({
  RequestItems: z.record(
    z.string(),
    z.array(
      z.union([
        z.object({ PutRequest: z.object({ Item: itemSchema }) }),
        z.object({ DeleteRequest: z.object({ Key: itemSchema }) }),
      ]),
    ),
  ),
});
const refusalSchema = z.looseObject({
  __type: z.templateLiteral([z.string(), '#ConditionalCheckFailedException']),
});
type Write = z.infer<typeof writeSchema>;
type Item = z.infer<typeof itemSchema>;

/**
 * Adds the parts that the embedded DynamoDB lacks: the table's stream, the item before and after each write; and the
 * item that a refused conditional write returns if `ReturnValuesOnConditionCheckFailure` requests it. Wraps the database
 * from its start on and records every successful PutItem, DeleteItem and BatchWriteItem, in the order of the responses,
 * and every UpdateItem that only sets attributes; other kinds of write are not recorded.
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
  /** Changed in a way that is not recorded. */
  const unknown = new Set<string>();
  let lastSequenceNumber = 0;

  function record(write: Write): void {
    const Keys = keysOf(write);
    const id = idOf(write);
    const before = items.get(id);
    const set = write.UpdateExpression === undefined ? undefined : setBy(write);
    if (write.UpdateExpression !== undefined && !set) {
      unknown.add(id);
      return;
    }
    if (!set) unknown.delete(id);
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

  /** Adds to the refusal of a write the item that is there. */
  function withItem(response: ServerResponse, refusal: unknown, write: Write): unknown {
    const Item = unknown.has(idOf(write)) ? undefined : items.get(idOf(write));
    if (write.ReturnValuesOnConditionCheckFailure !== 'ALL_OLD' || !Item) return refusal;
    const parsed = refusalSchema.safeParse(JSON.parse(String(refusal))).data;
    if (!parsed) return refusal;
    const body = JSON.stringify({ ...parsed, Item });
    response.setHeader('content-length', Buffer.byteLength(body));
    response.setHeader('x-amz-crc32', crc32(body));
    return body;
  }

  return (listener: RequestListener): RequestListener =>
    (request, response) => {
      const [, operation] = String(request.headers['x-amz-target']).split('.');
      const isBatch = operation === 'BatchWriteItem';
      if (isBatch || operation === 'PutItem' || operation === 'UpdateItem' || operation === 'DeleteItem') {
        const body: Buffer[] = [];
        request.on('data', (chunk: Buffer) => body.push(chunk));
        const end = response.end.bind(response);
        response.end = (result?: unknown) => {
          const text = Buffer.concat(body).toString();
          const { statusCode } = response;
          if (isBatch) {
            for (const write of statusCode === 200 ? writesIn(text, tableName) : []) record(write);
            return end(result);
          }
          const write = statusCode === 200 || statusCode === 400 ? writeIn(text) : undefined;
          if (write?.TableName !== tableName) return end(result);
          if (statusCode === 400) return end(withItem(response, result, write));
          record(write);
          return end(result);
        };
      }
      listener(request, response);
    };
}

function keysOf({ Item, Key }: Write): Item {
  const { tenantId, elementKey } = Item ?? Key ?? {};
  return { ...(tenantId && { tenantId }), ...(elementKey && { elementKey }) };
}

const idOf = (write: Write): string => JSON.stringify(Object.values(keysOf(write)));

/** Undefined where the database refuses the body itself. */
function writeIn(body: string): Write | undefined {
  try {
    return writeSchema.safeParse(JSON.parse(body)).data;
  } catch {
    return undefined;
  }
}

/** The writes of a batch; the embedded database has carried out all of them. */
function writesIn(body: string, TableName: string): Write[] {
  const { RequestItems } = batchSchema.parse(JSON.parse(body));
  return (RequestItems[TableName] ?? []).map((request) => ({
    TableName,
    ...('PutRequest' in request ? request.PutRequest : request.DeleteRequest),
  }));
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
