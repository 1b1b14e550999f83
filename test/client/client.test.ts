import { Sha256 } from '@aws-crypto/sha256-js';
import { SignatureV4 } from '@smithy/signature-v4';
import { execFileSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Readable } from 'node:stream';
import { inspect } from 'node:util';
import { afterEach, describe, expect, test, vi } from 'vitest';
import { clientSource } from '../../infra/contract/client-source.ts';
import { ClientError, createClient, type ClientOptions } from '../../infra/contract/client.ts';
import { closeServer, listenOnLoopback } from '../../infra/local/loopback.ts';

const credentials = {
  accessKeyId: 'client-access-key',
  secretAccessKey: 'client-secret-access-key',
  sessionToken: 'client-session-token',
};
const configurationKey = 'acme-configuration-key';

const stops: (() => unknown)[] = [];
afterEach(async () => {
  vi.unstubAllEnvs();
  for (const stop of stops.splice(0).toReversed()) await stop();
});

type Received = { method: string; path: string; headers: IncomingMessage['headers']; body: string };
type HttpResponse = { status?: number; type?: string; location?: string; body?: unknown };

/** A server that keeps its requests. */
async function serve(responseTo: (request: Received) => HttpResponse | Promise<HttpResponse>) {
  const requests: Received[] = [];
  const respond = async (request: IncomingMessage, response: ServerResponse) => {
    let body = '';
    for await (const chunk of request) body += String(chunk);
    const received = {
      method: request.method ?? '',
      path: request.url ?? '',
      headers: request.headers,
      body,
    };
    requests.push(received);
    const { status = 200, type = 'application/json', location, body: replied } = await responseTo(received);
    response.writeHead(status, { 'content-type': type, ...(location && { location }) });
    response.end(
      replied === undefined ? undefined : typeof replied === 'string' ? replied : JSON.stringify(replied),
    );
  };
  const server = createServer((request, response) => void respond(request, response));
  const url = await listenOnLoopback(server, 0);
  stops.push(() => closeServer(server));
  return { url, requests };
}

const noResponse: { apiResponse?: HttpResponse | Promise<HttpResponse> | undefined } = {};

/** This service, Secrets Manager and Cloud Elements in one, with secrets that can be replaced. */
async function startWorld(options: Partial<ClientOptions> = {}) {
  const world = {
    token: 'first-element-token=',
    user: { userSecret: 'first-user-secret', organizationSecret: 'first-organization-secret' },
    ...noResponse,
  };
  const authorization = () =>
    `User ${world.user.userSecret}, Organization ${world.user.organizationSecret}, Element ${world.token}`;
  const { url, requests } = await serve(({ method, path, headers }) => {
    if (path.startsWith('/elements/'))
      return headers.authorization === authorization() ? { body: { ok: true } } : { status: 401, body: {} };
    if (headers['x-amz-target']) return { body: { SecretString: JSON.stringify(world.user) } };
    if (world.apiResponse) return world.apiResponse;
    if (method === 'DELETE') return { status: 204 };
    const [, , tenantId, , elementKey = 'taxify'] = path.split('/');
    return { body: { tenantId, element: { key: elementKey }, id: 1, token: world.token } };
  });
  const client = createClient({
    apiUrl: url,
    region: 'eu-west-1',
    credentials: () => credentials,
    secretsManagerUrl: url,
    cloudElements: { baseUrl: url, secrets: 'element-onboarding/dev/runtime' },
    ...options,
  });
  const count = (isMeant: (request: Received) => boolean) => requests.filter(isMeant).length;
  return {
    world,
    url,
    client,
    requests,
    tokenReads: () => count(({ path }) => path.endsWith('/token')),
    secretReads: () => count(({ headers }) => headers['x-amz-target'] !== undefined),
    elementCalls: () => count(({ path }) => path.startsWith('/elements/')),
  };
}

/** The signature of the request as the AWS SDK computes it, at the time and for the service that the request names. */
async function signatureBySdk({ method, path, headers, body }: Received): Promise<string | undefined> {
  const { authorization = '', 'x-amz-date': date = '' } = headers;
  const [, region = '', service = '', names = ''] =
    /Credential=[\w-]+\/\d+\/([\w-]+)\/([\w-]+)\/aws4_request, SignedHeaders=([\w;-]+),/.exec(
      authorization,
    ) ?? [];
  const signer = new SignatureV4({ region, service, credentials, sha256: Sha256, applyChecksum: false });
  const { sessionToken: _sent, ...keys } = credentials;
  const signed = Object.fromEntries(names.split(';').map((name) => [name, String(headers[name])]));
  const time = String(date).replace(/(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z/, '$1-$2-$3T$4:$5:$6Z');
  const request = await signer.sign(
    { method, protocol: 'http:', hostname: 'localhost', path, headers: signed, body },
    { signingDate: new Date(time), signableHeaders: new Set(names.split(';')) },
  );
  expect(keys.accessKeyId).toBe(credentials.accessKeyId);
  return request.headers['authorization'];
}

const failureOf = async (promise: Promise<unknown>): Promise<Error> => {
  const result = await promise.then(
    () => undefined,
    (error: unknown) => error,
  );
  if (result instanceof Error) return result;
  throw new Error('Expected a failure.');
};

const refusalOf = (run: () => unknown): string => {
  try {
    run();
  } catch (error) {
    expect(error).toBeInstanceOf(ClientError);
    return shown(error);
  }
  return 'accepted';
};

describe('options', () => {
  const parse: (text: string) => ClientOptions = JSON.parse;
  /** As JavaScript may call it. */
  const create = (options: object) => createClient(parse(JSON.stringify(options)));
  const fine = {
    apiUrl: 'https://abc.execute-api.eu-west-1.amazonaws.com',
    cloudElements: { baseUrl: 'https://api.cloud-elements.com/', secrets: 'element-onboarding/runtime' },
  };

  test.each([
    'http://api.cloud-elements.com',
    'http://10.0.0.1',
    'http://127.0.0.1.example.com',
    'http://localhost.example.com',
    'ftp://127.0.0.1',
    'file:///etc',
    'api.cloud-elements.com',
    '//api.cloud-elements.com',
    'https://',
    'https://user:first-user-secret@api.cloud-elements.com',
    'https://api.cloud-elements.com?first-user-secret',
    'https://api.cloud-elements.com#x',
    '',
    7,
    null,
  ])('an address %j is refused without its value', (address) => {
    const message = refusalOf(() =>
      create({
        apiUrl: address,
        secretsManagerUrl: address,
        cloudElements: { ...fine.cloudElements, baseUrl: address },
      }),
    );
    for (const name of ['apiUrl', 'secretsManagerUrl', 'cloudElements.baseUrl'])
      expect(message).toContain(`\`${name}\` (expected`);
    expect(message).not.toContain('first-user-secret');
    expect(message).not.toContain('`region`');
  });

  test('origins have no path; the API may have one', () => {
    const address = 'https://api.example.com/v1';
    const message = refusalOf(() =>
      create({
        apiUrl: address,
        region: 'eu-west-1',
        secretsManagerUrl: address,
        cloudElements: { ...fine.cloudElements, baseUrl: address },
      }),
    );
    const named = message.matchAll(/`([\w.]+)` \(/g);
    expect(new Set(Array.from(named, ([, name]) => name))).toEqual(
      new Set(['secretsManagerUrl', 'cloudElements.baseUrl']),
    );
  });

  test.each([
    'http://localhost:8083',
    'http://127.0.0.2',
    'http://[::1]:1',
    'https://api.cloud-elements.com/',
  ])('the address %s is accepted', (address) => {
    const cloudElements = { ...fine.cloudElements, baseUrl: address };
    const options = { region: 'eu-west-1', secretsManagerUrl: address, cloudElements };
    expect(refusalOf(() => create({ ...options, apiUrl: address }))).toBe('accepted');
  });

  test('all wrong ones are named at once, unknown ones too', () => {
    const wrong = {
      apiUrl: 'x',
      region: 'evil.example.com/',
      credentials: { accessKeyId: 'a' },
      cloudElements: { baseUrl: 1, secrets: '{"userSecret":"first-user-secret"}', origin: 'x' },
      cacheMs: -1,
      cachems: 1,
      timeoutMs: 1.5,
      secretsManagerUrl: 'x',
      now: 1,
    };
    const message = refusalOf(() => create(wrong));
    for (const name of Object.keys(wrong).filter((key) => key !== 'cloudElements'))
      expect(message).toContain(`\`${name}\` (`);
    for (const name of ['baseUrl', 'secrets', 'origin'])
      expect(message).toContain(`\`cloudElements.${name}\` (`);
    expect(message).not.toContain('first-user-secret');
    expect(refusalOf(() => create({ ...fine, cloudElements: 'x' }))).toContain('`cloudElements` (');
    for (const timeoutMs of [0, 2 ** 31, '1', null])
      expect(refusalOf(() => create({ ...fine, timeoutMs }))).toContain('`timeoutMs` (');
    for (const cacheMs of [Number.NaN, Infinity])
      expect(refusalOf(() => createClient({ ...fine, cacheMs }))).toContain('`cacheMs` (');
    expect(refusalOf(() => createClient(parse('null')))).toContain('`apiUrl` (');
  });

  test('a Region comes from the option, from `apiUrl`, or from AWS_REGION, or is missing', () => {
    vi.stubEnv('AWS_REGION', '');
    const apiUrl = 'https://api.example.com';
    expect(refusalOf(() => create({ apiUrl }))).toContain('`region` (');
    expect(refusalOf(() => create({ apiUrl, region: 'eu-west-1' }))).toBe('accepted');
    expect(refusalOf(() => create(fine))).toBe('accepted');
    vi.stubEnv('AWS_REGION', 'eu-west-1');
    expect(refusalOf(() => create({ apiUrl }))).toBe('accepted');
  });

  test.each([
    ['abc.execute-api.cn-north-1.amazonaws.com.cn', 'cn-north-1', 'amazonaws.com.cn'],
    ['abc.execute-api.cn-northwest-1.amazonaws.com.cn', 'cn-northwest-1', 'amazonaws.com.cn'],
    ['abc.execute-api.us-gov-west-1.amazonaws.com', 'us-gov-west-1', 'amazonaws.com'],
    ['abc.execute-api.eu-west-1.amazonaws.com', 'eu-west-1', 'amazonaws.com'],
  ])('requests to %s and to Secrets Manager are signed for its Region', async (host, region, domain) => {
    vi.stubEnv('AWS_REGION', 'us-east-1');
    const fetched: [string, string | null][] = [];
    vi.stubGlobal('fetch', async (url: URL, init: RequestInit) => {
      fetched.push([url.host, new Headers(init.headers).get('authorization')]);
      return new Response('{}', { status: 503 });
    });
    stops.push(() => vi.unstubAllGlobals());
    const client = createClient({ ...fine, apiUrl: `https://${host}`, credentials: () => credentials });
    await failureOf(client.headersFor('acme', 'taxify'));
    await vi.waitFor(() => expect(fetched).toHaveLength(2));
    expect(fetched.map(([to]) => to)).toEqual([host, `secretsmanager.${region}.${domain}`]);
    for (const [, authorization] of fetched) expect(authorization).toContain(`/${region}/`);
  });
});

describe('requests to the API', () => {
  test('a secret that begins with another one is hidden whole in an error', async () => {
    const { world, client } = await startWorld();
    const body = { code: 'invalid-request', detail: 'bad acme-hunter2' };
    world.apiResponse = { status: 400, type: 'application/problem+json', body };
    const configuration = { username: 'acme', password: 'acme-hunter2' };
    const error: unknown = await client
      .provision('acme', { element: { key: 'taxify' }, configuration })
      .catch((thrown: unknown) => thrown);
    expect(inspect(error)).toContain('bad …');
    expect(inspect(error)).not.toContain('hunter2');
  });

  test.each(['.', '..', ''])(
    'the tenant or element %o is refused: its URL would be another route',
    async (id) => {
      const { client, requests } = await startWorld();
      const refused = { message: expect.stringContaining('Expected a tenant id and an element key') };
      for (const call of [
        client.list(id),
        client.get('acme', id),
        client.get(id, 'taxify'),
        client.remove(id, 'taxify'),
      ]) {
        await expect(call).rejects.toMatchObject(refused);
      }
      expect(requests).toEqual([]);
    },
  );

  test('every method has a signature that the AWS SDK computes, too', async () => {
    const { client, requests } = await startWorld();
    const request = { element: { key: 'taxify' }, configuration: { 'api.key': 'müsli '.repeat(3) } };
    await client.provision('acme', request);
    await client.get('acme', 'taxify');
    await client.list("ac me/(1)*'!~");
    await client.update('acme', 'taxify', { name: 'Acme' });
    await client.headersFor('acme', 'taxify');
    await client.importInstance('acme', 'taxify', 1234);
    await client.check('acme', 'taxify');
    expect(await client.remove('acme', 'taxify')).toBe('removed');

    expect(requests.map(({ method, path }) => `${method} ${path}`)).toEqual([
      'POST /tenants/acme/instances',
      'GET /tenants/acme/instances/taxify',
      'GET /tenants/ac%20me%2F%281%29%2A%27%21~/instances',
      'PATCH /tenants/acme/instances/taxify',
      'GET /tenants/acme/instances/taxify/token',
      'POST /',
      'POST /tenants/acme/instances/taxify/import',
      'POST /tenants/acme/instances/taxify/check',
      'DELETE /tenants/acme/instances/taxify',
    ]);
    for (const each of requests) expect(await signatureBySdk(each)).toBe(each.headers.authorization);
    // Proof that the check works: another body has another signature.
    const [first] = requests;
    if (!first) throw new Error('No request.');
    expect(await signatureBySdk({ ...first, body: '{}' })).not.toBe(first.headers.authorization);
  });

  test("a removal whose completion is pending resolves to 'deleting'", async () => {
    const { client, world } = await startWorld();
    world.apiResponse = { status: 202 };
    expect(await client.remove('acme', 'taxify')).toBe('deleting');
  });

  test('credentials of a container are read once until they expire', async () => {
    const container = await serve(() => ({
      body: {
        AccessKeyId: credentials.accessKeyId,
        SecretAccessKey: credentials.secretAccessKey,
        Token: credentials.sessionToken,
        Expiration: new Date(Date.now() + 3_600_000).toISOString(),
      },
    }));
    vi.stubEnv('AWS_ACCESS_KEY_ID', '');
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI', '');
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', `${container.url}/role`);
    vi.stubEnv('AWS_CONTAINER_AUTHORIZATION_TOKEN', 'container-authorization');
    const { client, requests } = await startWorld({ credentials: undefined });
    await Promise.all([client.get('acme', 'taxify'), client.get('globex', 'taxify')]);
    await client.get('acme', 'taxify');
    expect(requests.map(({ headers }) => headers['x-amz-security-token'])).toEqual(
      Array.from({ length: 3 }, () => credentials.sessionToken),
    );
    expect(container.requests.map(({ headers }) => headers.authorization)).toEqual([
      'container-authorization',
    ]);
  });

  test('container credentials over http from a foreign host are refused', async () => {
    vi.stubEnv('AWS_ACCESS_KEY_ID', '');
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_RELATIVE_URI', '');
    vi.stubEnv('AWS_CONTAINER_CREDENTIALS_FULL_URI', 'http://192.0.2.1/role');
    const { client, requests } = await startWorld({ credentials: undefined });
    expect((await failureOf(client.get('acme', 'taxify'))).message).toContain('must be https');
    expect(requests).toEqual([]);
  });
});

describe('element token', () => {
  test('1,000 concurrent headersFor of one tenant cost one token read and one secret read', async () => {
    const { client, tokenReads, secretReads } = await startWorld();
    const all = await Promise.all(Array.from({ length: 1_000 }, () => client.headersFor('acme', 'taxify')));
    expect(new Set(all.map(({ authorization }) => authorization))).toEqual(
      new Set([
        'User first-user-secret, Organization first-organization-secret, Element first-element-token=',
      ]),
    );
    expect([tokenReads(), secretReads()]).toEqual([1, 1]);
    await client.headersFor('acme', 'netsuite');
    await client.headersFor('globex', 'taxify');
    expect([tokenReads(), secretReads()]).toEqual([3, 1]);
  });

  test('a kept token is read again after its time, and after a removal', async () => {
    let nowMs = 5_000;
    const { client, tokenReads } = await startWorld({ cacheMs: 60_000, now: () => nowMs });
    await client.token('acme', 'taxify');
    nowMs += 59_000;
    await client.token('acme', 'taxify');
    expect(tokenReads()).toBe(1);
    nowMs += 2_000;
    await client.token('acme', 'taxify');
    expect(tokenReads()).toBe(2);
    await client.remove('acme', 'taxify');
    await client.token('acme', 'taxify');
    expect(tokenReads()).toBe(3);
  });

  test('a wall clock that is set back keeps neither token, secrets, credentials nor a confirmed 401 for longer', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    stops.push(() => vi.useRealTimers());
    const startedAt = Date.now();
    let nowMs = 5_000;
    let credentialReads = 0;
    const { client, tokenReads, secretReads, world } = await startWorld({
      now: () => nowMs,
      credentials: () => {
        credentialReads++;
        return { ...credentials, expiration: new Date(startedAt + 600_000) };
      },
    });
    const reads = () => [tokenReads(), secretReads(), credentialReads];
    await client.headersFor('acme', 'taxify');
    vi.setSystemTime(startedAt - 86_400_000);
    nowMs += 299_000;
    await client.headersFor('acme', 'taxify');
    expect(reads()).toEqual([1, 1, 1]);
    nowMs += 2_000;
    await client.headersFor('acme', 'taxify');
    expect(reads()).toEqual([2, 2, 1]);
    nowMs += 250_000;
    await client.list('acme');
    expect(reads()).toEqual([2, 2, 2]);

    world.apiResponse = { body: { token: 'refused-element-token' } };
    const call = client.fetch('globex', 'taxify');
    expect((await call('/ping')).status).toBe(401);
    const confirmed = tokenReads();
    vi.setSystemTime(startedAt - 2 * 86_400_000);
    nowMs += 29_000;
    expect((await call('/ping')).status).toBe(401);
    expect(tokenReads()).toBe(confirmed);
    world.apiResponse = undefined;
    nowMs += 2_000;
    expect((await call('/ping')).status).toBe(200);
  });

  test('credentials that expired while the machine slept are read again', async () => {
    vi.useFakeTimers({ toFake: ['Date'] });
    stops.push(() => vi.useRealTimers());
    let credentialReads = 0;
    const { client } = await startWorld({
      now: () => 5_000,
      credentials: () => {
        credentialReads++;
        return { ...credentials, expiration: new Date(Date.now() + 600_000) };
      },
    });
    await client.list('acme');
    vi.setSystemTime(Date.now() + 599_000);
    await client.list('acme');
    expect(credentialReads).toBe(1);
    vi.setSystemTime(Date.now() + 2_000);
    await client.list('acme');
    expect(credentialReads).toBe(2);
  });

  test('a caller cannot change the token of the others', async () => {
    const { client, world } = await startWorld();
    const token = await client.token('acme', 'taxify');
    expect(Reflect.set(token, 'token', 'another')).toBe(false);
    expect((await client.headersFor('acme', 'taxify')).authorization).toContain(world.token);
  });

  test('a failed token read is not kept', async () => {
    const { client, world } = await startWorld();
    world.apiResponse = { status: 503, body: { message: 'Service Unavailable' } };
    expect(await failureOf(client.token('acme', 'taxify'))).toMatchObject({ status: 503 });
    world.apiResponse = undefined;
    expect((await client.token('acme', 'taxify')).token).toBe(world.token);
  });

  test('a replaced token costs one more read, for 100 calls at once', async () => {
    const { client, world, tokenReads } = await startWorld();
    const call = client.fetch('acme', 'taxify');
    expect((await call('/ping')).status).toBe(200);
    world.token = 'second-element-token=';
    const responses = await Promise.all(
      Array.from({ length: 100 }, () => call('/hubs/finance/taxes', { method: 'POST', body: '{}' })),
    );
    expect(new Set(responses.map(({ status }) => status))).toEqual(new Set([200]));
    expect(tokenReads()).toBe(2);
  });

  test('replaced Cloud Elements secrets are read again, too', async () => {
    const { client, world, secretReads } = await startWorld();
    const call = client.fetch('acme', 'taxify');
    await call('/ping');
    world.user = { ...world.user, userSecret: 'second-user-secret' };
    expect((await call('/ping')).status).toBe(200);
    expect(secretReads()).toBe(2);
  });

  test('a 401 that new secrets do not cure is returned, and causes no read per call', async () => {
    const { client, tokenReads, elementCalls, requests } = await startWorld({
      cloudElements: undefined,
    });
    expect(requests).toEqual([]);
    expect((await failureOf(client.headersFor('acme', 'taxify'))).message).toContain('`cloudElements`');
    const refusing = await startWorld();
    const wrong = createClient({
      apiUrl: refusing.url,
      region: 'eu-west-1',
      credentials: () => credentials,
      cloudElements: {
        baseUrl: refusing.url,
        secrets: () => ({ userSecret: 'wrong', organizationSecret: 'wrong' }),
      },
    });
    const call = wrong.fetch('acme', 'taxify');
    for (let turn = 0; turn < 5; turn++) expect((await call('/ping')).status).toBe(401);
    expect(refusing.tokenReads()).toBe(2);
    expect(refusing.elementCalls()).toBe(5);
    expect([tokenReads(), elementCalls()]).toEqual([0, 0]);
  });
});

const fail = (): never => {
  throw new SyntaxError('first-user-secret is not JSON');
};

describe('functions among the options', () => {
  test('a function among the options that never settles fails in time', async () => {
    const never = new Promise<never>(() => undefined);
    for (const options of [
      { credentials: () => never },
      { cloudElements: { baseUrl: 'http://127.0.0.1:1', secrets: () => never } },
    ]) {
      const { client } = await startWorld({ ...options, timeoutMs: 50 });
      const { message } = await failureOf(client.headersFor('acme', 'taxify'));
      expect(message).toMatch(/^The function `(credentials|cloudElements\.secrets)` failed: TimeoutError\.$/);
    }
  });

  test('show the name of their error and not its message, which quotes a secret', async () => {
    for (const options of [
      { credentials: fail },
      { cloudElements: { baseUrl: 'http://127.0.0.1:1', secrets: fail } },
    ]) {
      const { client } = await startWorld(options);
      const error = await failureOf(client.headersFor('acme', 'taxify'));
      expect(error).toBeInstanceOf(ClientError);
      expect(error.message).toMatch(/failed: SyntaxError\.$/);
      expect(shown(error)).not.toContain('first-u');
    }
  });
});

describe('an aborted call', () => {
  const reason = new Error('The user went away.');

  test('rejects at once, while the read that it shares goes on for the others', async () => {
    const { client, world, tokenReads } = await startWorld();
    const held = Promise.withResolvers<HttpResponse>();
    world.apiResponse = held.promise;
    const controller = new AbortController();
    const { signal } = controller;
    const others = [client.headersFor('acme', 'taxify'), client.fetch('acme', 'taxify')('/ping')];
    const aborted = [
      client.token('acme', 'taxify', { signal }),
      client.headersFor('acme', 'taxify', { signal }),
      client.fetch('acme', 'taxify')('/ping', { signal }),
    ].map(failureOf);
    await vi.waitFor(() => expect(tokenReads()).toBe(1));
    controller.abort(reason);
    for (const failure of aborted) expect(await failure).toBe(reason);
    held.resolve({ body: { token: world.token } });
    await Promise.all(others);
    expect((await client.token('acme', 'taxify')).token).toBe(world.token);
    expect(tokenReads()).toBe(1);
  });

  test('rejects at once while it waits for the read after a 401, for credentials or for a secret', async () => {
    const never = new Promise<never>(() => undefined);
    const afterRefusal = await startWorld();
    await afterRefusal.client.headersFor('acme', 'taxify');
    afterRefusal.world.token = 'second-element-token=';
    afterRefusal.world.apiResponse = never;
    const withoutCredentials = await startWorld({ credentials: () => never });
    const withoutSecrets = await startWorld({
      cloudElements: { baseUrl: 'http://127.0.0.1:1', secrets: () => never },
    });
    for (const { client } of [afterRefusal, withoutCredentials, withoutSecrets]) {
      const controller = new AbortController();
      const { signal } = controller;
      const failure = failureOf(client.fetch('acme', 'taxify')('/ping', { signal }));
      await vi.waitFor(() => expect(afterRefusal.tokenReads()).toBe(2));
      controller.abort(reason);
      expect(await failure).toBe(reason);
    }
  });

  test('rejects with the reason of its signal, for every request to the API', async () => {
    const { client, world, requests } = await startWorld();
    world.apiResponse = new Promise<never>(() => undefined);
    const calls = (signal: AbortSignal) => [
      client.provision('acme', { element: { key: 'taxify' } }, { signal }),
      client.get('acme', 'taxify', { signal }),
      client.list('acme', { signal }),
      client.update('acme', 'taxify', { name: 'Acme' }, { signal }),
      client.importInstance('acme', 'taxify', 1234, { signal }),
      client.check('acme', 'taxify', { signal }),
      client.remove('acme', 'taxify', { signal }),
    ];
    const controller = new AbortController();
    const failures = calls(controller.signal).map(failureOf);
    await vi.waitFor(() => expect(requests).toHaveLength(7));
    controller.abort(reason);
    for (const failure of failures) expect(await failure).toBe(reason);
    for (const call of calls(AbortSignal.abort(reason))) expect(await failureOf(call)).toBe(reason);
    const headers = client.headersFor('acme', 'taxify', { signal: AbortSignal.abort(reason) });
    expect(await failureOf(headers)).toBe(reason);
    expect(requests).toHaveLength(7);
  });
});

async function* parts() {
  yield new TextEncoder().encode('payload');
}

describe('element fetch', () => {
  test('a body that can be read only once is not sent again, empty, after a 401', async () => {
    for (const body of [parts(), Readable.from(['payload'])]) {
      const { world, client, requests } = await startWorld();
      await client.token('acme', 'taxify');
      world.token = 'second-element-token=';
      const init = { method: 'POST', body, duplex: 'half' as const };
      expect((await client.fetch('acme', 'taxify')('/things', init)).status).toBe(401);
      expect(requests.filter(({ path }) => path.endsWith('/things')).map((each) => each.body)).toEqual([
        'payload',
      ]);
    }
  });

  test.each([
    '',
    'hubs',
    '?a=b',
    '#a',
    '@example.com/',
    '.example.com/',
    ':1/',
    'https://example.com/',
    'HTTPS:/example.com/',
    '//example.com/x',
    '/%2fexample.com/x',
    '%2f%2fexample.com/x',
    '/\\example.com/x',
    '\\\\example.com\\x',
    '/%5cexample.com/x',
    '/..',
    '/.',
    '/a/./b',
    '/a/../b',
    '/a/..?b',
    '/a/..#b',
    '/../../secret',
    '/..\\..\\x',
    '/a/.\t./b',
    '/a/\r\n/b',
    '/%2e%2e/secret',
    '/.%2E/secret',
    '/a/%2e/b',
    '/..%2fsecret',
    '/a%2f..%2f..%2fsecret',
    '/a%2F%2e%2e%2Fb',
    '/..%5csecret',
    '/%252e%252e%252fsecret',
    '/%25252e%25252e/secret',
    '/%2%65%2%65/secret',
    '/%%32e%%32e/secret',
    `/%${'25'.repeat(9)}2e%${'25'.repeat(9)}2e/secret`,
    '/..%20/secret',
    '/..;/secret',
    '/..;a=b/secret',
    '/..%3b/secret',
    '/..%3fa',
    '/..%23a',
    '/.. ',
    '/a%00b',
    '/a%0d%0ab',
    '/a%2500b',
    '/%c0%ae%c0%ae/secret',
    '/..%c0%afsecret',
  ])('path %j is refused, and nothing is sent', async (path) => {
    const { client, requests } = await startWorld();
    const error = await failureOf(client.fetch('acme', 'taxify')(path));
    expect(error).toBeInstanceOf(ClientError);
    expect(error.message).toContain('Expected a path below /elements/api-v2');
    expect(requests).toEqual([]);
  });

  test('a path that is no text is refused', async () => {
    const { client, requests } = await startWorld();
    for (const path of [['/ping'], {}, null, new URL('https://example.com')]) {
      const call: Promise<unknown> = Reflect.apply(client.fetch('acme', 'taxify'), undefined, [path]);
      expect(await failureOf(call)).toBeInstanceOf(ClientError);
    }
    expect(requests).toEqual([]);
  });

  test.each([
    ['/', '/'],
    ['/ping', '/ping'],
    ['/a//b/', '/a//b/'],
    ['/files/a%2Fb%20c', '/files/a%2Fb%20c'],
    ['/files/ä b', '/files/%C3%A4%20b'],
    ['/files/..a/b../.c', '/files/..a/b../.c'],
    ['/files/a%252Fb', '/files/a%252Fb'],
    ['/files/100%', '/files/100%'],
    ['/files/100%25', '/files/100%25'],
    ['/@example.com:1', '/@example.com:1'],
    ['/a?path=/../%2e%2e%2f\\x&to=//example.com', '/a?path=/../%2e%2e%2f\\x&to=//example.com'],
    ['/a#/../b', '/a'],
  ])('path %j is sent as %j', async (path, sent) => {
    const { client, requests } = await startWorld();
    await client.fetch('acme', 'taxify')(path);
    expect(requests.at(-1)?.path).toBe(`/elements/api-v2${sent}`);
  });

  test('a redirect is returned, and neither body nor authorization follows it', async () => {
    const other = await serve(() => ({ body: {} }));
    for (const status of [301, 302, 303, 307, 308]) {
      for (const location of [`${other.url}/x`, '/elsewhere']) {
        const redirecting = await serve(() => ({ status, location }));
        const { client } = await startWorld({
          cloudElements: {
            baseUrl: redirecting.url,
            secrets: () => ({ userSecret: 'u', organizationSecret: 'o' }),
          },
        });
        const call = client.fetch('acme', 'taxify');
        const init: RequestInit = { method: 'POST', body: 'payload', redirect: 'follow' };
        const response = await call('/ping', init);
        expect([response.status, response.headers.get('location')]).toEqual([status, location]);
        await expect(call('/ping', { redirect: 'error' })).rejects.toThrow('fetch failed');
        expect(redirecting.requests.map(({ path }) => path)).toEqual([
          '/elements/api-v2/ping',
          '/elements/api-v2/ping',
        ]);
      }
    }
    expect(other.requests).toEqual([]);
  });

  test('requests to the API and to Secrets Manager follow no redirect', async () => {
    const other = await serve(() => ({ body: {} }));
    const { url } = await serve(() => ({ status: 307, location: other.url }));
    const { client } = await startWorld({ apiUrl: url, secretsManagerUrl: url });
    for (const call of [client.list('acme'), client.headersFor('acme', 'taxify')]) {
      expect((await failureOf(call)).message).toContain('got no response');
    }
    expect(other.requests).toEqual([]);
  });

  test("the caller's headers are kept, except authorization", async () => {
    const { client, requests } = await startWorld();
    const headers = { authorization: 'User other', 'x-caller': 'kept' };
    await client.fetch('acme', 'taxify')('/ping?a=b', { headers });
    const sent = requests.at(-1);
    expect(sent).toMatchObject({ path: '/elements/api-v2/ping?a=b', headers: { 'x-caller': 'kept' } });
    expect(sent?.headers.authorization).toContain('Element first-element-token=');
  });
});

const shown = (value: unknown): string =>
  inspect(value, { depth: 10, showHidden: true, getters: true }) +
  (value instanceof Error ? String(value.stack) : '');

describe('secrets', () => {
  const secretsIn = (world: { token: string; user: object }) => [
    ...Object.values(credentials).slice(1),
    world.token,
    ...Object.values(world.user).map(String),
    configurationKey,
  ];
  test('neither the client nor its results show one to util.inspect', async () => {
    const { client, world } = await startWorld();
    const call = client.fetch('acme', 'taxify');
    await call('/ping');
    const values = [
      client,
      call,
      await client.headersFor('acme', 'taxify'),
      await client.token('acme', 'taxify'),
    ];
    for (const value of values)
      for (const secret of secretsIn(world)) expect(shown(value)).not.toContain(secret);
    for (const secret of secretsIn(world)) expect(inspect(values.slice(2))).not.toContain(secret);
    const headers = await client.headersFor('acme', 'taxify');
    // `fetch` accepts them in spite of the concealment.
    expect(new Headers(headers).get('authorization')).toContain(world.token);
  });

  const everything = JSON.stringify([
    ...Object.values(credentials).slice(1),
    'first-element-token=',
    configurationKey,
  ]);
  const replies: [string, HttpResponse][] = [
    ['text that repeats the request', { status: 403, type: 'text/plain', body: everything }],
    ['a message that repeats the request', { status: 403, body: { message: everything } }],
    ['a 200 that is not JSON', { status: 200, body: `<${everything}` }],
    ['a problem that is not JSON', { status: 400, type: 'application/problem+json', body: `{${everything}` }],
    [
      'a problem that quotes credentials and configuration',
      {
        status: 400,
        type: 'application/problem+json',
        body: {
          code: 'invalid-request',
          detail: `${credentials.sessionToken} ${configurationKey}`,
          status: 400,
        },
      },
    ],
  ];
  test.each(replies)('an error after %s has none', async (_what, received) => {
    const { client, world } = await startWorld();
    world.apiResponse = received;
    const request = { element: { key: 'taxify' }, configuration: { 'api.key': configurationKey } };
    const errors = [await failureOf(client.provision('acme', request))];
    if (received.type !== 'application/problem+json' || received.status === 200)
      errors.push(await failureOf(client.token('acme', 'taxify')));
    for (const error of errors) {
      expect(error).toBeInstanceOf(ClientError);
      for (const secret of secretsIn(world)) expect(shown(error)).not.toContain(secret);
    }
  });

  test('a problem shows the fields of the contract and no others, bounded, and secrets in none of them', async () => {
    const { client, world } = await startWorld();
    await client.headersFor('acme', 'taxify');
    const password = 'a/b~c"d é';
    const secrets = [...secretsIn(world), password];
    const everySecret = [
      ...secrets,
      JSON.stringify(password).slice(1, -1),
      'a~1b~0c"d é',
      encodeURIComponent(password),
    ].join(' ');
    const keyed = { [everySecret]: everySecret, token: everySecret };
    const body = {
      type: everySecret,
      title: everySecret,
      detail: `${everySecret} ${'x'.repeat(10_000)}`,
      status: everySecret,
      code: 'invalid-request',
      missing: [everySecret, keyed, ...Array.from({ length: 100 }, () => 'configuration.x')],
      errors: [
        { pointer: everySecret, detail: everySecret, ...keyed },
        { parameter: everySecret, detail: everySecret, ...keyed },
        everySecret,
        ...Array.from({ length: 100 }, () => ({ pointer: '#', detail: 'x'.repeat(10_000) })),
      ],
      requestId: everySecret,
      ...keyed,
    };
    for (const code of ['invalid-request', everySecret, 'code-of-a-later-version']) {
      world.apiResponse = { status: 400, type: 'application/problem+json', body: { ...body, code } };
      const error = await failureOf(
        client.provision('acme', {
          element: { key: 'taxify' },
          configuration: { 'api.key': configurationKey, password },
        }),
      );
      const texts = [shown(error), error.message, JSON.stringify(error)].join('\n');
      for (const secret of secrets) expect(texts).not.toContain(secret);
      for (const part of ['a~1b', 'a%2F', 'b~c', 'd é', 'd%20', '"token"', 'token:']) {
        expect(texts).not.toContain(part);
      }
      expect(error.message.length).toBeLessThan(2_200);
      expect(JSON.stringify(error).length).toBeLessThan(50_000);
      expect(error).toMatchObject({ status: 400 });
      const known = code === 'invalid-request' ? { code, status: 400 } : undefined;
      expect(error).toMatchObject({ problem: known });
    }
  });

  test('an error hides the signature that the response repeats', async () => {
    const type = 'application/problem+json';
    const { url, requests } = await serve(({ headers }) => ({
      status: 400,
      type,
      body: { code: 'invalid-request', detail: headers.authorization },
    }));
    const { client } = await startWorld({ apiUrl: url });
    const { message } = await failureOf(client.list('acme'));
    expect(message).toMatch(/Signature=…$/);
    expect(requests[0]?.headers.authorization).toMatch(/Signature=[\da-f]{64}$/);
  });

  test('a problem keeps its fields, and a code that equals a configuration value stays', async () => {
    const { client, world } = await startWorld();
    const problem = {
      type: 'urn:element-onboarding:missing-configuration',
      title: 'Required configuration is missing',
      status: 400,
      detail: 'Add it.',
      code: 'missing-configuration',
      missing: ['configuration.api.key'],
      errors: [
        { pointer: '#/configuration', detail: 'expected an entry' },
        { parameter: 'tenantId', detail: 'expected another one' },
      ],
      requestId: 'request-1',
    };
    world.apiResponse = { status: 400, type: 'application/problem+json', body: problem };
    expect(await failureOf(client.get('acme', 'taxify'))).toMatchObject({ problem });
    const busy = { code: 'busy', detail: 'Try again.' };
    world.apiResponse = { status: 409, type: 'application/problem+json', body: busy };
    const request = { element: { key: 'taxify' }, configuration: { mode: 'busy' } };
    expect(await failureOf(client.provision('acme', request))).toMatchObject({
      message: 'POST /tenants/acme/instances: busy (409). Try again.',
      problem: { code: 'busy' },
    });
  });

  const spoiled: [string, Partial<ClientOptions>][] = [
    [
      'AWS credentials',
      { credentials: () => ({ ...credentials, sessionToken: `${credentials.sessionToken}\n` }) },
    ],
    [
      'Cloud Elements secrets',
      {
        cloudElements: {
          baseUrl: 'http://127.0.0.1:1',
          secrets: () => ({ userSecret: 'first-user-secret\n', organizationSecret: 'x' }),
        },
      },
    ],
  ];
  test.each(spoiled)('an error about %s with a line break has none', async (_what, options) => {
    const { client, world } = await startWorld(options);
    const error = await failureOf(client.fetch('acme', 'taxify')('/ping'));
    expect(error).toBeInstanceOf(ClientError);
    for (const secret of secretsIn(world)) expect(shown(error)).not.toContain(secret);
  });

  test('an error about a token with a line break has none', async () => {
    const { client, world } = await startWorld();
    world.token = 'first-element-token\n';
    const error = await failureOf(client.fetch('acme', 'taxify')('/ping'));
    expect(error).toBeInstanceOf(ClientError);
    expect(shown(error)).not.toContain('first-element-token');
  });

  test('an unreachable API is an error without any', async () => {
    const { client, world } = await startWorld({ apiUrl: 'http://127.0.0.1:1' });
    const error = await failureOf(client.token('acme', 'taxify'));
    expect(error).toBeInstanceOf(ClientError);
    for (const secret of secretsIn(world)) expect(shown(error)).not.toContain(secret);
  });
});

describe('printed client', () => {
  test('type-checks alone under strict, with types from the contract', () => {
    const directory = mkdtempSync(join(tmpdir(), 'client-'));
    stops.push(() => rmSync(directory, { recursive: true }));
    const modules = fileURLToPath(new URL('../../node_modules', import.meta.url));
    mkdirSync(join(directory, 'node_modules'));
    for (const name of ['@types', 'undici-types'])
      symlinkSync(join(modules, name), join(directory, 'node_modules', name));
    const source = clientSource();
    expect([...source.matchAll(/from '([^']+)'/g)].map(([, from = '']) => from)).toEqual([
      'node:crypto',
      'node:fs/promises',
      'node:util',
    ]);
    writeFileSync(join(directory, 'client.mts'), source);
    writeFileSync(
      join(directory, 'use.mts'),
      `import { createClient } from './client.mjs';
       const client = createClient({ apiUrl: 'https://abc.execute-api.eu-west-1.amazonaws.com' });
       const { status } = await client.provision('acme', { element: { key: 'taxify' }, configuration: { 'api.key': 'k' } });
       // @ts-expect-error: no such status
       status === 'removed';
       // @ts-expect-error: the element has a key
       await client.provision('acme', { element: 'taxify' });`,
    );
    const compiler = join(modules, 'typescript', 'bin', 'tsc');
    const options = '--noEmit --strict --target es2022 --module nodenext --types node client.mts use.mts';
    const run = () =>
      execFileSync(process.execPath, [compiler, ...options.split(' ')], { cwd: directory, encoding: 'utf8' });
    expect(run()).toBe('');
  });
});
