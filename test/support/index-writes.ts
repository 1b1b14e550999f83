import type { AttributeValue, DynamoDBRecord } from 'aws-lambda';
import { tableShape } from '../../functions/model/table.ts';

const { partitionKey, sortKey } = tableShape.index;

/**
 * The writes to the index of unsettled rows that one write to the table causes, by their partition. An item that enters
 * the index or leaves it is one write; an item whose key in the index changes leaves its place and enters another.
 * https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/GSI.html#GSI.ThroughputConsiderations.Writes
 */
export function indexWritesOf({ dynamodb }: DynamoDBRecord): string[] {
  const [before, after] = [placeOf(dynamodb?.OldImage), placeOf(dynamodb?.NewImage)];
  const isSame = before?.partition === after?.partition && before?.position === after?.position;
  return isSame ? [] : [before, after].flatMap((place) => place?.partition ?? []);
}

function placeOf(item: Record<string, AttributeValue> | undefined) {
  const [partition, position] = [item?.[partitionKey]?.S, item?.[sortKey]?.N];
  return partition === undefined || position === undefined ? undefined : { partition, position };
}
