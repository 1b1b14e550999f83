import {
  CloudFormationClient,
  CreateStackCommand,
  DeleteStackCommand,
  DescribeStacksCommand,
  waitUntilStackCreateComplete,
} from '@aws-sdk/client-cloudformation';
import type { APIGatewayProxyEventV2 } from 'aws-lambda';
import { randomUUID } from 'node:crypto';
import { request } from 'node:http';
import { text } from 'node:stream/consumers';
import { afterAll, beforeAll, expect } from 'vitest';
import * as z from 'zod/mini';
import { startGateway } from '../../../../../infra/local/gateway.ts';
import { endpointUrl } from '../../../../service/deployed/endpoint.ts';
import { clientSettings, conforms, emulator } from './target.ts';

const payload =
  'https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-integrations-lambda.html';

const route = 'POST /tenants/{tenantId}/instances';

/** Responds as the request's header says; by itself with the event that it was given. */
async function echo({ headers, ...event }: APIGatewayProxyEventV2): Promise<unknown> {
  const wanted = headers['x-wanted'];
  if (wanted === 'an error') throw new Error('On request.');
  if (wanted !== undefined) return JSON.parse(Buffer.from(wanted, 'base64').toString());
  return { statusCode: 200, body: JSON.stringify({ ...event, headers }) };
}

type Api = { url: string; headers: Record<string, string>; stop: () => Promise<void> };
let api: Api;
beforeAll(async () => {
  api = emulator === undefined ? await startStub() : await deployApi(endpointUrl().href);
}, 90_000);
afterAll(() => api.stop());

async function startStub(): Promise<Api> {
  const gateway = await startGateway({
    routes: new Map([['echo', route]]),
    invoke: (_name, event) => echo(event),
  });
  return { url: gateway.url, headers: {}, stop: gateway.stop };
}

const resource = (Type: string, Properties: object) => ({ Type, Properties });

/** An HTTP API with one route and one function, as `infra/constructs/api.ts` has them, without authorization. */
async function deployApi(endpoint: string): Promise<Api> {
  const client = new CloudFormationClient({ ...clientSettings, endpoint });
  const StackName = `gateway-${randomUUID()}`;
  const template = {
    Resources: {
      Role: resource('AWS::IAM::Role', {
        AssumeRolePolicyDocument: {
          Version: '2012-10-17',
          Statement: [
            { Effect: 'Allow', Principal: { Service: 'lambda.amazonaws.com' }, Action: 'sts:AssumeRole' },
          ],
        },
      }),
      Function: resource('AWS::Lambda::Function', {
        Runtime: 'nodejs24.x',
        Handler: 'index.handler',
        Role: { 'Fn::GetAtt': ['Role', 'Arn'] },
        Code: { ZipFile: `exports.handler = ${echo.toString()};` },
      }),
      Permission: resource('AWS::Lambda::Permission', {
        Action: 'lambda:InvokeFunction',
        FunctionName: { Ref: 'Function' },
        Principal: 'apigateway.amazonaws.com',
      }),
      Api: resource('AWS::ApiGatewayV2::Api', { Name: StackName, ProtocolType: 'HTTP' }),
      Integration: resource('AWS::ApiGatewayV2::Integration', {
        ApiId: { Ref: 'Api' },
        IntegrationType: 'AWS_PROXY',
        IntegrationUri: { 'Fn::GetAtt': ['Function', 'Arn'] },
        PayloadFormatVersion: '2.0',
      }),
      Route: resource('AWS::ApiGatewayV2::Route', {
        ApiId: { Ref: 'Api' },
        RouteKey: route,
        Target: { 'Fn::Join': ['/', ['integrations', { Ref: 'Integration' }]] },
      }),
      Stage: resource('AWS::ApiGatewayV2::Stage', {
        ApiId: { Ref: 'Api' },
        StageName: '$default',
        AutoDeploy: true,
      }),
    },
    Outputs: { Id: { Value: { Ref: 'Api' } } },
  };
  await client.send(
    new CreateStackCommand({
      StackName,
      TemplateBody: JSON.stringify(template),
      Capabilities: ['CAPABILITY_IAM'],
    }),
  );
  await waitUntilStackCreateComplete({ client, minDelay: 1, maxWaitTime: 60 }, { StackName });
  const { Stacks } = await client.send(new DescribeStacksCommand({ StackName }));
  const id = Stacks?.[0]?.Outputs?.find(({ OutputKey }) => OutputKey === 'Id')?.OutputValue ?? '';
  return {
    url: endpoint,
    // The emulator picks the API by its host.
    headers: { host: `${id}.execute-api.localhost` },
    async stop() {
      await client.send(new DeleteStackCommand({ StackName }));
      client.destroy();
    },
  };
}

async function send(
  path: string,
  {
    method = 'POST',
    headers = {},
    body,
    wanted,
  }: {
    method?: string;
    headers?: Record<string, string | string[]>;
    body?: string | Buffer;
    wanted?: unknown;
  } = {},
) {
  const { promise, resolve, reject } = Promise.withResolvers<{
    status: number | undefined;
    headers: Record<string, string | string[] | undefined>;
    body: string;
  }>();
  const { hostname, port } = new URL(api.url);
  const asked = wanted === undefined ? {} : { 'x-wanted': wantedText(wanted) };
  request({ hostname, port, method, path, headers: { ...api.headers, ...asked, ...headers } }, (response) => {
    text(response).then(
      (received) => resolve({ status: response.statusCode, headers: response.headers, body: received }),
      reject,
    );
  })
    .on('error', reject)
    .end(body);
  return promise;
}
const wantedText = (wanted: unknown): string =>
  wanted === 'an error' ? wanted : Buffer.from(JSON.stringify(wanted)).toString('base64');

const path = '/tenants/acme/instances';
const eventSchema = z.record(z.string(), z.unknown());
async function eventOf(...request_: Parameters<typeof send>) {
  const { status, body } = await send(...request_);
  expect(status).toBe(200);
  return eventSchema.parse(JSON.parse(body));
}

conforms('the event is in version 2.0 of the payload', { source: payload }, async () => {
  const event = await eventOf(path, {
    headers: { 'content-type': 'application/json', 'user-agent': 'tests', 'X-Custom': 'a' },
    body: '{"é":1}',
  });
  expect(event).toMatchObject({
    version: '2.0',
    routeKey: route,
    rawPath: path,
    rawQueryString: '',
    headers: { 'content-type': 'application/json', 'x-custom': 'a' },
    pathParameters: { tenantId: 'acme' },
    requestContext: {
      accountId: expect.stringMatching(/^\d{12}$/),
      http: { method: 'POST', path, protocol: 'HTTP/1.1', userAgent: 'tests', sourceIp: expect.any(String) },
      requestId: expect.any(String),
      routeKey: route,
      stage: '$default',
      time: expect.stringMatching(/^\d\d\/[A-Z][a-z]{2}\/\d{4}:\d\d:\d\d:\d\d \+0000$/),
      timeEpoch: expect.any(Number),
    },
    body: '{"é":1}',
    isBase64Encoded: false,
  });
});

conforms('an event without query, cookies and body leaves them out', { source: payload }, async () => {
  const event = await eventOf(path);
  for (const name of ['queryStringParameters', 'cookies', 'body']) expect(event).not.toHaveProperty(name);
});

conforms('several values of a query parameter are joined by a comma', { source: payload }, async () => {
  expect(await eventOf(`${path}?a=1&b=x%20y&a=2`)).toMatchObject({
    rawQueryString: 'a=1&b=x%20y&a=2',
    queryStringParameters: { a: '1,2', b: 'x y' },
  });
});

conforms(
  'several values of a header are joined by a comma',
  { source: payload, not: { MiniStack: 'it adds a space' } },
  async () => {
    expect(await eventOf(path, { headers: { 'x-several': ['1', '2'] } })).toMatchObject({
      headers: { 'x-several': '1,2' },
    });
  },
);

conforms(
  'cookies are a list, and no header',
  { source: payload, not: { MiniStack: 'it leaves them in the header' } },
  async () => {
    const event = await eventOf(path, { headers: { cookie: 'a=1; b=2' } });
    expect(event).toMatchObject({ cookies: ['a=1', 'b=2'] });
    expect(event).not.toHaveProperty('headers.cookie');
  },
);

conforms('a binary body is in base64', { source: payload }, async () => {
  const event = await eventOf(path, {
    headers: { 'content-type': 'application/octet-stream' },
    body: Buffer.from([0, 255]),
  });
  expect(event).toMatchObject({ body: 'AP8=', isBase64Encoded: true });
});

conforms('a path parameter is decoded', { source: payload }, async () => {
  expect(await eventOf('/tenants/a%20b%C3%A9/instances')).toMatchObject({
    pathParameters: { tenantId: 'a bé' },
  });
});

conforms('the response has the status, headers and body of the function', { source: payload }, async () => {
  const wanted = {
    statusCode: 202,
    headers: { 'content-type': 'application/problem+json', 'retry-after': 5 },
    cookies: ['a=1', 'b=2'],
    body: '{"é":1}',
  };
  expect(await send(path, { wanted })).toMatchObject({
    status: 202,
    headers: {
      'content-type': 'application/problem+json',
      'retry-after': '5',
      'set-cookie': ['a=1', 'b=2'],
    },
    body: '{"é":1}',
  });
});

conforms('a body in base64 is decoded', { source: payload }, async () => {
  const wanted = { statusCode: 200, body: Buffer.from('plain').toString('base64'), isBase64Encoded: true };
  expect(await send(path, { wanted })).toMatchObject({ status: 200, body: 'plain' });
});

conforms('a value without a status is the body of a 200, as JSON', { source: payload }, async () => {
  const { status, headers, body } = await send(path, { wanted: { is: 'whole' } });
  expect({ status, json: JSON.parse(body) }).toEqual({ status: 200, json: { is: 'whole' } });
  expect(headers['content-type']).toMatch(/^application\/json/);
});

conforms(
  'a function that fails is an internal server error',
  { source: payload, not: { MiniStack: "it returns 502 with the function's error" } },
  async () => {
    const { status, body } = await send(path, { wanted: 'an error' });
    expect({ status, json: JSON.parse(body) }).toEqual({
      status: 500,
      json: { message: 'Internal Server Error' },
    });
  },
);

conforms(
  'a path or method without a route is not found',
  { source: 'https://docs.aws.amazon.com/apigateway/latest/developerguide/http-api-develop-routes.html' },
  async () => {
    for (const [method, elsewhere] of [
      ['GET', path],
      ['POST', '/tenants'],
      ['POST', `${path}/more`],
    ]) {
      const { status, body } = await send(elsewhere ?? '', { method: method ?? '' });
      expect({ status, json: JSON.parse(body) }).toEqual({ status: 404, json: { message: 'Not Found' } });
    }
  },
);
