import * as fc from 'fast-check';
import { afterAll, beforeAll, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { isDeployed } from '../../service/deployed/endpoint.ts';
import { startService, type ReceivedResponse, type Service } from '../../support/running-service.ts';
import { mediaTypeOf, methods, readContract, type Operation } from './http-contract.ts';
import { edgeRequestsBy, requestsBy, type FuzzRequest } from './http-fuzz.ts';
import { createSituations, type SendRequest } from './http-situations.ts';
import { countsOtherwise } from './known-differences.ts';

const contract = readContract();

let service: Service;
beforeAll(async () => {
  service = await startService();
});
afterAll(() => service[Symbol.asyncDispose]());

test.skipIf(isDeployed)(
  'the API accepts requests that the document allows, refuses others, and responds as documented',
  async () => {
    const kinds = new Set<string>();
    const edges = edgeRequestsBy(contract).map((request): [FuzzRequest] => [request]);
    await fc.assert(
      fc.asyncProperty(requestsBy(contract), async (request) => {
        const { operationId, path, body, contentType, injectedFault } = request;
        service.simulator.faultFor = () => injectedFault;
        const operation = contract.operationOf(operationId);
        const result = await service.request({
          method: operation.method,
          path: pathTo(operation, path),
          ...(body !== undefined && { body, headers: { 'content-type': contentType } }),
        });
        const classification = classificationOf(request);
        kinds.add(`${operationId}: ${classification.kind}`);
        const observed = {
          classification,
          result: result.text,
          undescribed: contract.faultsOfResponse(operation, result),
        };
        expect({ ...observed, isKept: isKept(classification, request, result) }).toMatchObject({
          undescribed: [],
          isKept: true,
        });
      }),
      { seed: 20_261_123, examples: edges, numRuns: edges.length + 250, endOnFailure: true },
    );
    const everyKind = contract.operations.flatMap(({ object }) =>
      ['allowed', 'invalid'].map((kind) => `${object.operationId}: ${kind}`),
    );
    expect([...kinds]).toEqual(expect.arrayContaining(everyKind));
  },
  60_000,
);

test.skipIf(isDeployed)(
  'every documented response is one that the API can give',
  async () => {
    service.simulator.reset();
    const met = new Set<string>();
    const undescribed: unknown[] = [];

    const asking =
      (from: Service): SendRequest =>
      async (operationId, path, { body, contentType = 'application/json' } = {}) => {
        const operation = contract.operationOf(operationId);
        const result = await from.request({
          method: operation.method,
          path: pathTo(operation, path),
          ...(body !== undefined && {
            body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body),
            headers: { 'content-type': contentType },
          }),
        });
        const faults = contract.faultsOfResponse(operation, result);
        if (faults.length > 0) undescribed.push({ operationId, path, faults, result });
        met.add(`${operationId} ${result.status} ${sayingOf(result)}`);
        return result;
      };

    const provisioned = await service.post('provisioned', {
      element: { key: 'taxify' },
      configuration: { 'api.key': 'any' },
    });
    expect(provisioned.status).toBe(201);
    const row = await service.rowOf('provisioned');
    if (!row) throw new Error('The instance has no row.');

    const situations = createSituations(service, asking(service));
    for (const { object } of contract.operations) await situations.meetEveryRoutes(object.operationId);
    await situations.meetReaders();
    await situations.meetProvisioning();
    await situations.meetImporting();
    await situations.meetUpdating();
    await situations.meetRemoving();
    await situations.meetChecking();
    await situations.meetBrokenCredentials();

    // Not beside the others, which would take from their time: 21 s and 4 s are reserved for the last steps, the create
    // and the record of its outcome.
    await using brief = await startService({ functionTimeoutMs: 23_000 });
    await using tooBrief = await startService({ functionTimeoutMs: 6_500 });
    await Promise.all([
      createSituations(brief, asking(brief)).meetUnreachableWhenProvisioning(),
      createSituations(tooBrief, asking(tooBrief)).meetShortage(row),
    ]);

    expect(undescribed).toEqual([]);
    expect([...met].toSorted()).toEqual(describedResponses().toSorted());
  },
  60_000,
);

test.skipIf(isDeployed)('an undocumented method is no route', async () => {
  const results = await Promise.all(
    Object.entries(contract.document.paths).flatMap(([path, objects]) =>
      methods
        .filter((method) => !(method.toLowerCase() in objects))
        .map(async (method) => (await service.request({ method, path: path.replaceAll(/[{}]/g, '') })).text),
    ),
  );
  expect(new Set(results)).toEqual(new Set(['{"message":"Not Found"}']));
});

test.skipIf(isDeployed)('a body may have as many bytes as documented', async () => {
  const [, digits = ''] = /may have ([\d,]+) bytes/.exec(contract.document.info.description) ?? [];
  const maxBytes = Number(digits.replaceAll(',', ''));
  expect(await codesOfSize(maxBytes)).toBe('invalid-request');
  expect(await codesOfSize(maxBytes + 1)).toBe('body-too-large');
});

async function codesOfSize(bytes: number): Promise<string> {
  return problemSchema.parse((await service.post('acme', ' '.repeat(bytes))).json).code;
}

function pathTo({ path, object }: Operation, values: Readonly<Record<string, string>>): string {
  const query = new URLSearchParams();
  for (const { name, in: place } of object.parameters) {
    const value = values[name];
    if (place === 'query' && value !== undefined) query.set(name, value);
  }
  return `${pathIn(path, values)}${query.size > 0 ? `?${query.toString()}` : ''}`;
}

function pathIn(path: string, values: Readonly<Record<string, string>>): string {
  return path.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const value = values[name] ?? '';
    return value === '%zz' ? value : encodeURIComponent(value);
  });
}

/** Identifies the response among those with its status. */
function sayingOf({ status, headers, json }: ReceivedResponse): string {
  if (status < 400) return 'done';
  return mediaTypeOf(headers) === 'application/json'
    ? 'by the gateway'
    : (problemSchema.safeParse(json).data?.code ?? 'unreadable');
}

/** An unreadable row is listed as such; only a bug could cause this response. */
const neverSeen = 'listAllInstances 500 internal';

/** Responses that the local gateway does not give: it checks no signatures and has no limits. */
const gatewayOnAwsOnly = new Set(['403', '429', '500', '503']);

function describedResponses(): string[] {
  return contract.operations
    .flatMap(({ object }) =>
      Object.entries(object.responses).flatMap(([status, { content = {} }]) => {
        const sayings = [
          ...(Number(status) < 400 ? ['done'] : []),
          ...codesOf(content['application/problem+json']?.schema),
          ...(Number(status) >= 400 && 'application/json' in content && !gatewayOnAwsOnly.has(status)
            ? ['by the gateway']
            : []),
        ];
        return sayings.map((saying) => `${object.operationId} ${status} ${saying}`);
      }),
    )
    .filter((result) => result !== neverSeen);
}

const problemResponseSchema = z.object({
  properties: z.object({ code: z.object({ enum: z.array(z.string()) }) }),
});

function codesOf(schema: unknown): string[] {
  return schema === undefined ? [] : problemResponseSchema.parse(schema).properties.code.enum;
}

/** The document's verdict on a request. */
type Classification = { kind: 'allowed' | 'no-route' | 'not-json' | 'invalid'; faults: readonly string[] };

function classificationOf({ operationId, path, body = '', contentType }: FuzzRequest): Classification {
  const operation = contract.operationOf(operationId);
  const isInPath = (name: string) =>
    operation.object.parameters.some((each) => each.name === name && each.in === 'path');
  if (Object.entries(path).some(([name, value]) => value === '' && isInPath(name))) {
    return { kind: 'no-route', faults: [] };
  }
  const mediaType = contentType.split(';')[0] ?? '';
  if (body !== '' && !/^application\/(json|.+\+json)$/.test(mediaType)) {
    return { kind: 'not-json', faults: [] };
  }
  const faults = [
    ...contract.faultsOfPath(operation, path),
    ...(isJson(body) ? contract.faultsOfBody(operation, parse(body)) : ['the body is not JSON']),
  ];
  return { kind: faults.length === 0 ? 'allowed' : 'invalid', faults };
}

const problemSchema = z.object({
  code: z.string(),
  errors: z.optional(z.array(z.object({ detail: z.string() }))),
});

function isKept(
  classification: Classification,
  { path, body = '' }: FuzzRequest,
  result: ReceivedResponse,
): boolean {
  const { code, errors = [] } = problemSchema.safeParse(result.json).data ?? {};
  switch (classification.kind) {
    case 'no-route':
      return result.status === 404 && mediaTypeOf(result.headers) === 'application/json';
    case 'not-json':
      return code === 'unsupported-media-type';
    case 'invalid':
      return code === 'invalid-request';
    case 'allowed':
      return (
        code !== 'invalid-request' ||
        errors.every(({ detail }) => dependsOnTheElement.test(detail)) ||
        countsOtherwise({ element: { key: path['elementKey'] } }) ||
        countsOtherwise(parse(body))
      );
  }
}

/**
 * Allowed entries and values depend on the element and its credentials, and the fields that an update may name on its
 * instance: the document only says so in words.
 */
const dependsOnTheElement =
  /^(expected the "nextCursor" of a page with the same filters$|cannot be set where the tenant's secret supplies the credentials|expected (a whole number of at most 6 digits|true or false|the (id|element) of this instance)$)/;

function isJson(text: string): boolean {
  try {
    parse(text);
    return true;
  } catch {
    return false;
  }
}

const parse = (text: string): unknown => (text === '' ? undefined : JSON.parse(text));
