import { ListSecretsCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { createServer } from 'node:http';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { callAws, clientOptions } from '../../../functions/adapters/aws.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { closeServer, listenOnLoopback } from '../../../infra/local/loopback.ts';

/** What the server answers with. */
let next: { status: number; body: string } = { status: 200, body: '{}' };
const server = createServer((_request, response) => {
  response.writeHead(next.status, { 'content-type': 'application/x-amz-json-1.1' });
  response.end(next.body);
});
let client: SecretsManagerClient;
beforeAll(async () => {
  client = clientFor(await listenOnLoopback(server, 0));
});
afterAll(async () => {
  client.destroy();
  await closeServer(server);
});

function clientFor(endpoint: string, options?: Partial<typeof clientOptions>) {
  const credentials = { accessKeyId: 'tests', secretAccessKey: 'tests' };
  return new SecretsManagerClient({ ...options, endpoint, region: 'us-east-1', credentials, maxAttempts: 1 });
}

async function causeOf(call: () => Promise<unknown>) {
  const error = await callAws('The call', call).catch((thrown: unknown) => thrown);
  if (!(error instanceof OnboardingError)) throw new Error('It did not fail as it is meant to.');
  expect(error.code).toBe('aws-unavailable');
  return error.facts.cause;
}
const call = () => client.send(new ListSecretsCommand({}));

function refuseNext(type: string, message: string): void {
  next = { status: 400, body: JSON.stringify({ __type: type, message }) };
}

test('a message of AWS is passed on', async () => {
  const message = 'User: arn:aws:sts::1:role/x is not authorized to perform: secretsmanager:ListSecrets';
  refuseNext('AccessDeniedException', message);
  expect(await causeOf(call)).toEqual({ name: 'AccessDeniedException', message });
});

test('a long message of AWS is cut', async () => {
  refuseNext('ValidationException', 'é'.repeat(10_000));
  const { message = '' } = (await causeOf(call)) ?? {};
  expect(Buffer.byteLength(message)).toBeLessThanOrEqual(500);
  expect(message).toMatch(/^é+…$/);
});

test('a value quoted by a validator of AWS is not passed on', async () => {
  const failed = "at 'plaintext' failed to satisfy constraint";
  refuseNext('ValidationException', `1 validation error detected: Value 'it's hush' ${failed}`);
  expect(await causeOf(call)).toEqual({
    name: 'ValidationException',
    message: `1 validation error detected: Value '…' ${failed}`,
  });
});

test('an error of a parser or serializer is not passed on', async () => {
  for (const error of [new SyntaxError('hush'), new TypeError('hush'), new Error('Unsupported type: hush')]) {
    expect((await causeOf(() => Promise.reject(error)))?.message).toBe('the answer cannot be read');
  }
  const ofNode = Object.assign(new TypeError('Received "hush"'), { code: 'ERR_INVALID_ARG_TYPE' });
  expect((await causeOf(() => Promise.reject(ofNode)))?.message).toBe('the answer cannot be read');
  next = { status: 200, body: '{"SecretList": hush}' };
  expect(await causeOf(call)).toEqual({ name: 'SyntaxError', message: 'the answer cannot be read' });
  next = { status: 400, body: '<html>hush</html>' };
  expect(JSON.stringify(await causeOf(call))).not.toContain('hush');
});

test('a failed connection is named', async () => {
  const own = createServer();
  const endpoint = await listenOnLoopback(own, 0);
  await closeServer(own);
  const closed = clientFor(endpoint);
  const cause = await causeOf(() => closed.send(new ListSecretsCommand({})));
  closed.destroy();
  expect(cause?.message).toContain('ECONNREFUSED');
});

test('a client waits 1.5 s for a response', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
  const silent = createServer(() => {});
  const waiting = clientFor(await listenOnLoopback(silent, 0), clientOptions);
  const ended = vi.fn<(error: unknown) => void>();
  void waiting.send(new ListSecretsCommand({})).catch(ended);
  await once(silent, 'request');
  await vi.advanceTimersByTimeAsync(1_499);
  expect(ended).not.toHaveBeenCalled();
  await vi.advanceTimersByTimeAsync(1);
  vi.useRealTimers();
  await vi.waitFor(() => expect(ended).toHaveBeenCalled());
  expect(ended.mock.lastCall?.[0]).toMatchObject({ message: 'no response within 1500 ms' });
  await closeServer(silent);
});

test('the cause of a failed AWS call keeps the name of a timeout', async () => {
  const late = Object.assign(new Error('a request has exceeded 1500 ms'), { name: 'TimeoutError' });
  const cause = await causeOf(() => Promise.reject(late));
  expect(cause).toEqual({ name: 'TimeoutError', message: 'a request has exceeded 1500 ms' });
});

test('a failed AWS call is named, and a thrown text is no cause', async () => {
  const thrown: unknown = 'hush';
  const error: unknown = await callAws('Reading the secret a-secret', async () => {
    throw thrown;
  }).catch((caught: unknown) => caught);
  expect(error).toEqual(
    new OnboardingError(
      'aws-unavailable',
      'Reading the secret a-secret failed; whether it took effect is not known.',
    ),
  );
  expect(error).toMatchObject({ facts: { cause: undefined } });
  expect(JSON.stringify(error)).not.toContain('hush');
});

test('a call of AWS that succeeds returns its result', async () => {
  expect(await callAws('The call', async () => 7)).toBe(7);
});

test.each([
  ['an abort', { name: 'AbortError' }, true],
  ['missing credentials', { name: 'CredentialsProviderError' }, true],
  ['a failed connection', { code: 'ECONNRESET' }, true],
  ['a refusal of AWS', { $fault: 'client' }, true],
  ['a code that is a number', { code: 7 }, false],
  ['another name', { name: 'AnyError' }, false],
])('the message of %s is passed on, or not: %j %s', async (_what, properties, isPassedOn) => {
  const error = Object.assign(new Error('said'), properties);
  const cause = await causeOf(() => Promise.reject(error));
  expect(cause).toEqual({ name: error.name, message: isPassedOn ? 'said' : 'the answer cannot be read' });
});

test('a value quoted over several lines is not passed on', async () => {
  refuseNext('ValidationException', "Value 'hush\nhush' at 'a' failed; Value 'hush' at 'b' failed");
  expect((await causeOf(call))?.message).toBe("Value '…' at 'b' failed");
});
