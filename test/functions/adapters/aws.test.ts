import { ListSecretsCommand, SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import { createServer } from 'node:http';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { callAws } from '../../../functions/adapters/aws.ts';
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

function clientFor(endpoint: string) {
  const credentials = { accessKeyId: 'tests', secretAccessKey: 'tests' };
  return new SecretsManagerClient({ endpoint, region: 'us-east-1', credentials, maxAttempts: 1 });
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

test('the cause of a failed AWS call keeps the name of a timeout', async () => {
  const late = Object.assign(new Error('a request has exceeded 1500 ms'), { name: 'TimeoutError' });
  const cause = await causeOf(() => Promise.reject(late));
  expect(cause).toEqual({ name: 'TimeoutError', message: 'a request has exceeded 1500 ms' });
});
