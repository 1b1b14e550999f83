import { CreateTableCommand, DynamoDBClient, waitUntilTableExists } from '@aws-sdk/client-dynamodb';
import dynalite from 'dynalite';
import type { DynamoDBRecord } from 'aws-lambda';
import { createServer } from 'node:http';
import { tableShape } from '../../../functions/model/table.ts';
import type { RequestListener } from 'node:http';
import { region } from './aws-protocol.ts';
import { recordChanges } from './changes.ts';
import { closeServer, listenOnLoopback, withoutForeigners } from '../loopback.ts';

/** The embedded DynamoDB, in memory, with the table of the instances. */
export async function startDynamoDb({
  tableName,
  port = 0,
  guard = (listener) => listener,
  onChange = () => {},
}: {
  tableName: string;
  port?: number;
  /** Wraps the database, to count, refuse or fail requests. */
  guard?: (listener: RequestListener) => RequestListener;
  /** Called with each record of the table's stream. */
  onChange?: (record: DynamoDBRecord) => void;
}) {
  const dynamoDb = dynalite({ createTableMs: 0 });
  // dynalite's own server never listens; ours passes requests on to it, so that `guard` can wrap it.
  const record = recordChanges({ tableName, onChange });
  const server = createServer(
    withoutForeigners(
      guard(
        record((request, response) => {
          dynamoDb.emit('request', request, response);
          // dynalite throws when a request is aborted, for example by a killed client: that must not end this process.
          request.removeAllListeners('error').on('error', () => response.destroy());
        }),
      ),
    ),
  );
  const url = await listenOnLoopback(server, port);
  await createTable(url, tableName);
  return { url, stop: () => closeServer(server) };
}

/** Creates the table of the instances at a server of DynamoDB's API. */
export async function createTable(endpoint: string, tableName: string): Promise<void> {
  const { partitionKey, sortKey, index, instances } = tableShape;
  const credentials = { accessKeyId: 'local', secretAccessKey: 'local' };
  const client = new DynamoDBClient({ endpoint, region, credentials });
  try {
    await client.send(
      new CreateTableCommand({
        TableName: tableName,
        BillingMode: 'PAY_PER_REQUEST',
        AttributeDefinitions: [
          { AttributeName: partitionKey, AttributeType: 'S' },
          { AttributeName: sortKey, AttributeType: 'S' },
          { AttributeName: index.partitionKey, AttributeType: 'S' },
          { AttributeName: index.sortKey, AttributeType: 'N' },
          { AttributeName: instances.partitionKey, AttributeType: 'N' },
        ],
        KeySchema: [
          { AttributeName: partitionKey, KeyType: 'HASH' },
          { AttributeName: sortKey, KeyType: 'RANGE' },
        ],
        GlobalSecondaryIndexes: [
          {
            IndexName: index.name,
            KeySchema: [
              { AttributeName: index.partitionKey, KeyType: 'HASH' },
              { AttributeName: index.sortKey, KeyType: 'RANGE' },
            ],
            Projection: { ProjectionType: 'KEYS_ONLY' },
          },
          {
            IndexName: instances.name,
            KeySchema: [{ AttributeName: instances.partitionKey, KeyType: 'HASH' }],
            Projection: { ProjectionType: 'KEYS_ONLY' },
          },
        ],
      }),
    );
    await waitUntilTableExists({ client, minDelay: 1, maxWaitTime: 10 }, { TableName: tableName });
  } finally {
    client.destroy();
  }
}
