import { randomUUID } from 'node:crypto';
import type { APIGatewayProxyEventV2WithIAMAuthorizer, SQSEvent } from 'aws-lambda';
import { accountId, region } from '../../../infra/local/aws/aws-protocol.ts';

/** Events as API Gateway, SQS, DynamoDB's streams and EventBridge send them. */

/** @param routeKey for example `GET /tenants/{tenantId}/instances` */
function httpEvent(
  routeKey: string,
  pathParameters: Record<string, string>,
  body?: object,
): APIGatewayProxyEventV2WithIAMAuthorizer {
  const [method = '', route = ''] = routeKey.split(' ');
  const path = route.replaceAll(/\{(\w+)\}/g, (_, name: string) => pathParameters[name] ?? '');
  const domainPrefix = 'a1b2c3d4e5';
  const domainName = `${domainPrefix}.execute-api.${region}.amazonaws.com`;
  const now = new Date();
  return {
    version: '2.0',
    routeKey,
    rawPath: path,
    rawQueryString: '',
    headers: {
      accept: '*/*',
      authorization: 'AWS4-HMAC-SHA256 …',
      ...(body && {
        'content-length': String(JSON.stringify(body).length),
        'content-type': 'application/json',
      }),
      host: domainName,
      'user-agent': 'bench',
      'x-amz-date': now.toISOString().replaceAll(/[-:]|\.\d+/g, ''),
      'x-amzn-trace-id': 'Root=1-00000000-000000000000000000000000',
      'x-forwarded-for': '192.0.2.1',
      'x-forwarded-port': '443',
      'x-forwarded-proto': 'https',
    },
    requestContext: {
      accountId,
      apiId: domainPrefix,
      authorizer: {
        iam: {
          accessKey: 'bench',
          accountId,
          callerId: 'bench',
          cognitoIdentity: null,
          principalOrgId: '',
          userArn: `arn:aws:iam::${accountId}:user/bench`,
          userId: 'bench',
        },
      },
      domainName,
      domainPrefix,
      http: { method, path, protocol: 'HTTP/1.1', sourceIp: '192.0.2.1', userAgent: 'bench' },
      requestId: randomUUID(),
      routeKey,
      stage: '$default',
      time: now.toISOString(),
      timeEpoch: now.getTime(),
    },
    pathParameters,
    ...(body && { body: JSON.stringify(body) }),
    isBase64Encoded: false,
  };
}

const tenantRoute = '/tenants/{tenantId}/instances';
const instanceRoute = `${tenantRoute}/{elementKey}`;
const pathOf = (tenantId: string) => ({ tenantId, elementKey: 'taxify' });

export const provisionEvent = (tenantId: string) =>
  httpEvent(
    `POST ${tenantRoute}`,
    { tenantId },
    { element: { key: 'taxify' }, name: 'Bench', tags: ['eu'], configuration: { 'api.key': 'any' } },
  );
export const listEvent = (tenantId: string) => httpEvent(`GET ${tenantRoute}`, { tenantId });
export const listAllEvent = (query: Record<string, string> = {}) => ({
  ...httpEvent('GET /instances', {}),
  rawQueryString: new URLSearchParams(query).toString(),
  queryStringParameters: query,
});
export const getEvent = (tenantId: string) => httpEvent(`GET ${instanceRoute}`, pathOf(tenantId));
export const readTokenEvent = (tenantId: string) => httpEvent(`GET ${instanceRoute}/token`, pathOf(tenantId));
export const changeEvent = (tenantId: string) =>
  httpEvent(`PATCH ${instanceRoute}`, pathOf(tenantId), { name: 'Bench, renamed' });
export const checkEvent = (tenantId: string) => httpEvent(`POST ${instanceRoute}/check`, pathOf(tenantId));
export const importEvent = (tenantId: string, id: number) =>
  httpEvent(`POST ${instanceRoute}/import`, pathOf(tenantId), { id });
export const removeEvent = (tenantId: string) => httpEvent(`DELETE ${instanceRoute}`, pathOf(tenantId));

/** A new value of the tenant's secret. */
export function secretEvent(tenantId: string): SQSEvent {
  const { Records } = queueEvent('TenantOnboarded', [tenantId]);
  const body = JSON.stringify({
    version: '0',
    id: randomUUID(),
    'detail-type': 'Secret Label Updated',
    source: 'aws.secretsmanager',
    time: new Date().toISOString(),
    detail: {
      name: `element-onboarding/tenants/${tenantId}/taxify`,
      labelUpdated: 'AWSCURRENT',
      versionId: randomUUID(),
    },
  });
  return { Records: Records.map((record) => ({ ...record, body })) };
}

/** A batch with one event from the bus in each message. */
export function queueEvent(
  detailType: 'TenantOnboarded' | 'TenantOffboarded',
  tenantIds: readonly string[],
): SQSEvent {
  const now = Date.now();
  return {
    Records: tenantIds.map((tenantId) => ({
      messageId: randomUUID(),
      receiptHandle: randomUUID(),
      body: JSON.stringify({
        version: '0',
        id: randomUUID(),
        'detail-type': detailType,
        source: 'crm.example',
        account: accountId,
        time: new Date(now).toISOString().replace(/\.\d+Z$/, 'Z'),
        region,
        resources: [],
        detail: { tenantId },
      }),
      attributes: {
        ApproximateReceiveCount: '1',
        SentTimestamp: String(now),
        SenderId: accountId,
        ApproximateFirstReceiveTimestamp: String(now),
      },
      messageAttributes: {},
      md5OfBody: '00000000000000000000000000000000',
      eventSource: 'aws:sqs',
      eventSourceARN: `arn:aws:sqs:${region}:${accountId}:bench`,
      awsRegion: region,
    })),
  };
}

export const scheduledEvent = () => ({
  version: '0',
  id: randomUUID(),
  'detail-type': 'Scheduled Event',
  source: 'aws.events',
  account: accountId,
  time: new Date().toISOString().replace(/\.\d+Z$/, 'Z'),
  region,
  resources: [`arn:aws:events:${region}:${accountId}:rule/bench`],
  detail: {},
});
