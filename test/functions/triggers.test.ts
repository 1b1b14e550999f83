import { EventBridgeClient, PutEventsCommand } from '@aws-sdk/client-eventbridge';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Trigger, triggers } from '../../functions/triggers.ts';
import { startLocalStack, type LocalStack } from '../../infra/local/stack.ts';

/** Replaces every function: answers and logs its own name. */
const fixture = `
  export async function handler() {
    console.log(process.env.AWS_LAMBDA_FUNCTION_NAME);
    return { statusCode: 200, body: process.env.AWS_LAMBDA_FUNCTION_NAME };
  }
`;

let stack: LocalStack;
beforeAll(async () => {
  stack = await startLocalStack({
    bundle: (_name, directory) => writeFileSync(join(directory, 'index.mjs'), fixture),
  });
});
afterAll(() => stack.stop());

const rows: [string, Trigger][] = Object.entries(triggers);

test('every route of the trigger table reaches its function on the local stack', async () => {
  const routes = rows.flatMap(([name, { http }]) => (http ? [[http, name]] : []));
  const results = await Promise.all(
    routes.map(async ([http = '']) => {
      const [method = '', path = ''] = http.replaceAll(/\{\w+\}/g, 'x').split(' ');
      const response = await fetch(`${stack.apiUrl}${path}`, { method });
      return [http, await response.text()];
    }),
  );
  expect(results.length).toBeGreaterThan(0);
  expect(results).toEqual(routes);
});

test('every event of the trigger table reaches its function on the local stack', async () => {
  const events = rows.flatMap(([name, { queue }]) =>
    (queue?.events ?? []).flatMap((pattern) =>
      (pattern.source ?? ['any']).flatMap((Source) =>
        pattern['detail-type'].map((DetailType) => ({ name, Source, DetailType })),
      ),
    ),
  );
  const credentials = { accessKeyId: 'tests', secretAccessKey: 'tests' };
  const region = stack.environment.AWS_REGION;
  const client = new EventBridgeClient({ endpoint: stack.awsUrl, region, credentials });
  const reached = [];
  for (const { Source, DetailType } of events) {
    const linesBefore = stack.logs.length;
    const entry = { EventBusName: stack.busName, Source, DetailType, Detail: '{}' };
    await client.send(new PutEventsCommand({ Entries: [entry] }));
    await Promise.all([...stack.queues.values()].map((queue) => queue.idle()));
    reached.push({ Source, DetailType, name: stack.logs.slice(linesBefore).join() });
  }
  client.destroy();
  expect(reached.length).toBeGreaterThan(0);
  expect(reached).toEqual(events);
});

test('no two rows of the trigger table have the same route', () => {
  const shapes = rows.flatMap(([, { http }]) => (http ? [http.replaceAll(/\{\w+\}/g, '{}')] : []));
  expect(new Set(shapes).size).toBe(shapes.length);
});
