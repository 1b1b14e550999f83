import { errorCodes, type ErrorCode } from '../../functions/model/errors.ts';
import {
  elementKeySchema,
  importRequestSchema,
  instanceUpdateSchema,
  instanceRequestSchema,
  tenantIdSchema,
} from '../../functions/model/instance.ts';
import { overviewQuerySchema } from '../../functions/model/overview.ts';
import packageJson from '../../package.json' with { type: 'json' };
import {
  checkedInstanceSchema,
  elementTokenSchema,
  gatewayMessageSchema,
  instanceSchema,
  overviewSchema,
  problemSchema,
} from '../../functions/model/responses.ts';
import { jsonSchemasOf, type JsonSchema, type NamedSchema } from './json-schema.ts';
import {
  errorsOfEveryRoute,
  errorsToRetryAfter,
  operationTags,
  routes,
  type HeaderName,
  type Operation,
  type SchemaName,
} from './operations.ts';
import * as z from 'zod/mini';

type Described = { description: string };
export type Response = Described & {
  headers: Record<string, { $ref: string } | (Described & { required: boolean; schema: JsonSchema })>;
  content?: Record<string, { schema: JsonSchema }>;
  links?: Record<string, { operationId: string; parameters: Record<string, string> }>;
};
export type OperationObject = {
  operationId: string;
  tags: string[];
  summary: string;
  description?: string;
  parameters: { name: string; in: 'path' | 'query'; required: boolean; schema: JsonSchema }[];
  requestBody?: { required: true; content: Record<string, { schema: JsonSchema }> };
  responses: Record<string, Response>;
};

/** API Gateway's own responses, the same for every route. Their bodies are not problem details. */
const gatewayResponses: Readonly<Record<number, string>> = {
  400: 'The path cannot be decoded',
  403: 'The signature is missing, wrong or out of date, or its principal may not call this route',
  404: 'No such route; a path with an empty parameter matches none',
  413: 'More than 10 MB',
  429: 'Too many requests at once',
  500: 'The function failed',
  503: 'The function did not answer in time',
};

/** A path without parameters can always be decoded, and is always a route. */
const gatewayResponsesOf = (path: string): Readonly<Record<number, string>> => {
  const { 400: _undecodable, 404: _noRoute, ...others } = gatewayResponses;
  return path.includes('{') ? gatewayResponses : others;
};

const pathParameters = jsonSchemasOf(
  { tenantId: { schema: tenantIdSchema }, elementKey: { schema: elementKeySchema } },
  (name) => name,
);

const queryParameters = jsonSchemasOf(overviewQueryShape(), (name) => name);

const instanceExample = {
  tenantId: 'acme',
  element: { key: 'taxify' },
  id: 1_000_001,
  name: 'Acme',
  tags: ['eu'],
  status: 'active',
  createdDate: '2026-11-23T14:27:49.455Z',
  updatedDate: '2026-11-23T14:27:49.478Z',
  health: { status: 'healthy', since: '2026-11-23T14:28:12.003Z' },
};

const namedSchemas: Readonly<Record<SchemaName, NamedSchema>> = {
  InstanceRequest: {
    schema: instanceRequestSchema,
    notes: {
      description: "Cloud Elements' `instance.json`",
      examples: [
        {
          element: { key: 'taxify' },
          configuration: { 'api.key': 'any' },
          tags: ['eu'],
          name: 'Acme',
        },
      ],
    },
  },
  InstanceUpdate: {
    schema: instanceUpdateSchema,
    notes: { examples: [{ name: 'Acme Inc.', tags: ['eu', 'gold'] }] },
  },
  ImportRequest: {
    schema: importRequestSchema,
    notes: { description: 'The id of the instance at Cloud Elements', examples: [{ id: 1_000_001 }] },
  },
  Instance: {
    schema: instanceSchema,
    notes: {
      description:
        '`id` is absent until the instance is known to exist; `lastError` is the reason why it is not active. `health`, absent before the first check, says whether it works, since when, and the reason if it does not.',
      examples: [instanceExample],
    },
  },
  Instances: { schema: z.array(instanceSchema) },
  Overview: {
    schema: overviewSchema,
    notes: { description: '`nextCursor` is absent on the last page.' },
  },
  ElementToken: { schema: elementTokenSchema },
  CheckedInstance: { schema: checkedInstanceSchema },
  Problem: {
    schema: problemSchema,
    notes: {
      description:
        'Problem details (RFC 9457). `errors` lists validation errors of the request, at most 20, each with a JSON Pointer into the body or a path parameter; `missing` lists configuration entries to add; `requestId` is for the support of Cloud Elements.',
    },
  },
  GatewayMessage: { schema: gatewayMessageSchema },
};

const headers: Readonly<Record<HeaderName, { schema: JsonSchema; description: string }>> = {
  location: { schema: { type: 'string' }, description: 'Path of the instance' },
  'retry-after': {
    schema: { type: 'integer', minimum: 1 },
    description: 'Seconds to wait before the next attempt',
  },
  'cache-control': { schema: { const: 'no-store' }, description: 'Must not be cached' },
};

/** Titles are names, because generators make names of types from them. */
const titledSchemas = Object.fromEntries(
  Object.entries(namedSchemas).map(([title, { schema, notes }]) => [
    title,
    { schema, notes: { title, ...notes } },
  ]),
);

/** Also the type of the client's errors. Responses narrow it, so the document has no schema of this name. */
const { Problem = {}, ...named }: Record<string, JsonSchema> = jsonSchemasOf(
  titledSchemas,
  (name) => `#/components/schemas/${name}`,
);
export const problemJsonSchema = Problem;
const schemas: Record<string, JsonSchema> = named;

/** OpenAPI 3.1 of the HTTP API: the routes of the trigger table with the schemas that the functions parse by. */
export function openApiDocument() {
  const paths: Record<string, Record<string, OperationObject>> = {};
  for (const { name, http, operation } of routes) {
    const [method = '', path = ''] = http.split(' ');
    paths[path] = {
      ...paths[path],
      [method.toLowerCase()]: operationObject({ name, path, operation }),
    };
  }
  return {
    openapi: '3.1.0',
    info: {
      title: packageJson.name,
      version: packageJson.version,
      description: [
        packageJson.description,
        'Errors of type `application/problem+json` come from the service; those of type `application/json` with only a `message` come from API Gateway, which responds with 404 to every other method and path.',
        'Lengths count UTF-16 code units: a character beyond U+FFFF counts twice. The whole body may have 65,536 bytes. An empty object is ignored as the body of a route that has none.',
        'A body in another charset than UTF-8, or compressed, is `unsupported-media-type`. A number that JSON does not carry exactly (`1.10`, `12345678901234567890`), a name that occurs twice in an object, and `__proto__` as a name are refused. The depth and the content of objects and lists in `configuration` are bounded.',
      ].join('\n\n'),
      license: { name: packageJson.license, identifier: packageJson.license },
    },
    servers: [
      {
        url: 'https://{apiId}.execute-api.{region}.amazonaws.com',
        description: 'The `ApiUrl` that `cdk deploy` prints',
        variables: { apiId: { default: 'api' }, region: { default: 'us-east-1' } },
      },
    ],
    security: [{ sigv4: [] }],
    tags: Object.entries(operationTags).map(([tag, description]) => ({ name: tag, description })),
    paths,
    components: {
      securitySchemes: {
        sigv4: {
          type: 'apiKey',
          name: 'authorization',
          in: 'header',
          description:
            'AWS Signature Version 4 for `execute-api`, by a principal that is allowed `execute-api:Invoke` on the route',
          'x-amazon-apigateway-authtype': 'awsSigv4',
        },
      },
      headers: {
        RequestId: { description: "API Gateway's id of the request", schema: { type: 'string' } },
      },
      schemas,
    },
  };
}

function operationObject({
  name,
  path,
  operation: { tag, summary, description, body, query, responses, errors, followedBy = [] },
}: {
  name: string;
  path: string;
  operation: Operation;
}): OperationObject {
  const byStatus = Map.groupBy<number, ErrorCode>(
    [...errorsOfEveryRoute, ...errors],
    (code) => errorCodes[code].status,
  );
  const statuses = new Set([...Object.keys(gatewayResponsesOf(path)).map(Number), ...byStatus.keys()]);
  return {
    operationId: operationIdOf(name),
    tags: [tag],
    summary,
    ...(description && { description }),
    parameters: [...parametersOf(path), ...(query ? queryParametersOf() : [])],
    ...(body && {
      requestBody: { required: true, content: { 'application/json': { schema: schemaOf(body) } } },
    }),
    responses: {
      ...Object.fromEntries(
        Object.entries(responses).map(([status, documented]) => [
          status,
          { ...responseObject(documented), ...linksOf(path, followedBy) },
        ]),
      ),
      ...Object.fromEntries(
        [...statuses].map((status) => [
          status,
          errorObject(status, byStatus.get(status) ?? [], gatewayResponsesOf(path)[status]),
        ]),
      ),
    },
  };
}

const operationIdOf = (name: string): string =>
  name.replaceAll(/-(.)/g, (_, letter: string) => letter.toUpperCase());

/** The element is in the path, or else in the response. */
function linksOf(path: string, followedBy: readonly string[]): Pick<Response, 'links'> {
  if (followedBy.length === 0) return {};
  const values: Readonly<Record<string, string>> = {
    tenantId: '$request.path.tenantId',
    elementKey: path.includes('{elementKey}') ? '$request.path.elementKey' : '$response.body#/element/key',
  };
  const links = routes
    .filter(({ name }) => followedBy.includes(name))
    .map(({ name, http }) => {
      const parameters = [...http.matchAll(/\{(\w+)\}/g)].map(([, parameter = '']) => [
        parameter,
        values[parameter] ?? '',
      ]);
      return [
        operationIdOf(name),
        { operationId: operationIdOf(name), parameters: Object.fromEntries(parameters) },
      ];
    });
  return { links: Object.fromEntries(links) };
}

function parametersOf(path: string): OperationObject['parameters'] {
  return [...path.matchAll(/\{(\w+)\}/g)].map(([, name = '']) => {
    const schema = pathParameters[name];
    if (!schema) throw new Error(`The path parameter ${name} has no schema.`);
    return { name, in: 'path', required: true, schema };
  });
}

function overviewQueryShape(): Record<string, NamedSchema> {
  const shape: Record<string, z.ZodMiniType> = overviewQuerySchema.shape;
  return Object.fromEntries(Object.entries(shape).map(([name, schema]) => [name, { schema }]));
}

function queryParametersOf(): OperationObject['parameters'] {
  return Object.entries(queryParameters).map(([name, schema]) => ({
    name,
    in: 'query',
    required: false,
    schema,
  }));
}

function responseObject({ means, body, headers: always = [] }: Operation['responses'][number]): Response {
  return {
    description: means,
    headers: headersOf(always, true),
    ...(body && { content: { 'application/json': { schema: schemaOf(body) } } }),
  };
}

function errorObject(status: number, errors: readonly ErrorCode[], byGateway: string | undefined): Response {
  const toRetry = errors.some((code) => errorsToRetryAfter.includes(code));
  return {
    description: [
      ...errors.map((code) => `\`${code}\`: ${errorCodes[code].title}`),
      ...(byGateway ? [`By API Gateway: ${byGateway}`] : []),
    ].join('\n\n'),
    headers: headersOf(toRetry ? ['retry-after'] : [], false),
    content: {
      ...(errors.length > 0 && { 'application/problem+json': { schema: problemOf(status, errors) } }),
      ...(byGateway && { 'application/json': { schema: schemaOf('GatewayMessage') } }),
    },
  };
}

function headersOf(names: readonly HeaderName[], required: boolean): Response['headers'] {
  return {
    'apigw-requestid': { $ref: '#/components/headers/RequestId' },
    ...Object.fromEntries(names.map((name) => [name, { ...headers[name], required }])),
  };
}

function problemOf(status: number, errors: readonly ErrorCode[]): JsonSchema {
  // Not `allOf` with a reference: generators intersect the two, and some drop the response.
  return {
    ...problemJsonSchema,
    title: `Problem${status}`,
    properties: {
      ...problemJsonSchema.properties,
      type: { type: 'string', enum: errors.map(problemType) },
      title: { type: 'string', enum: errors.map((code) => errorCodes[code].title) },
      status: { type: 'integer', enum: [status] },
      code: { type: 'string', enum: [...errors] },
    },
  };
}

const problemType = (code: ErrorCode): string => `urn:element-onboarding:${code}`;

function schemaOf(name: SchemaName): JsonSchema {
  return { $ref: `#/components/schemas/${name}` };
}
