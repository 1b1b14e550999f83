import {
  CreateSecretCommand,
  DeleteSecretCommand,
  DescribeSecretCommand,
  GetSecretValueCommand,
  InvalidRequestException,
  PutSecretValueCommand,
  ResourceExistsException,
  ResourceNotFoundException,
  type CreateSecretCommandInput,
  type GetSecretValueCommandInput,
  type PutSecretValueCommandInput,
} from '@aws-sdk/client-secrets-manager';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect } from 'vitest';
import { conforms, startTarget, type Target } from './target.ts';

const api = 'https://docs.aws.amazon.com/secretsmanager/latest/apireference/';
const guide = 'https://docs.aws.amazon.com/secretsmanager/latest/userguide/';

let target: Target;
beforeAll(async () => {
  target = await startTarget();
});
afterAll(() => target.stop());

const newName = () => `stage/tenants/${randomUUID()}/taxify`;
const send = {
  create: (input: CreateSecretCommandInput) => target.secretsManager.send(new CreateSecretCommand(input)),
  put: (input: PutSecretValueCommandInput) => target.secretsManager.send(new PutSecretValueCommand(input)),
  get: (input: GetSecretValueCommandInput) => target.secretsManager.send(new GetSecretValueCommand(input)),
  describe: (SecretId: string) => target.secretsManager.send(new DescribeSecretCommand({ SecretId })),
  remove: (SecretId: string, ForceDeleteWithoutRecovery = false) =>
    target.secretsManager.send(
      new DeleteSecretCommand(
        ForceDeleteWithoutRecovery
          ? { SecretId, ForceDeleteWithoutRecovery }
          : { SecretId, RecoveryWindowInDays: 7 },
      ),
    ),
};
const errorOf = (call: Promise<unknown>): Promise<unknown> =>
  call.then(
    () => undefined,
    (error: unknown) => error,
  );

conforms(
  'a secret is read by its name, its ARN, and its ARN without the six characters at its end',
  { source: `${guide}troubleshoot.html#ARN_secretnamehyphen` },
  async () => {
    const Name = newName();
    const { ARN = '' } = await send.create({ Name, SecretString: '{"api.key": "é"}' });
    expect(ARN).toMatch(new RegExp(`:secret:${Name}-[A-Za-z0-9]{6}$`));
    for (const SecretId of [Name, ARN, ARN.slice(0, -7)]) {
      expect(await send.get({ SecretId })).toMatchObject({
        ARN,
        Name,
        SecretString: '{"api.key": "é"}',
        VersionId: expect.stringMatching(/^.{32,64}$/),
        VersionStages: ['AWSCURRENT'],
        CreatedDate: expect.any(Date),
      });
    }
  },
);

conforms(
  'a secret that does not exist is not found',
  { source: `${api}API_GetSecretValue.html#API_GetSecretValue_Errors` },
  async () => {
    const missing = await errorOf(send.get({ SecretId: newName() }));
    expect(missing).toBeInstanceOf(ResourceNotFoundException);
    expect(missing).not.toHaveProperty('message', expect.stringMatching(/secret value/i));
  },
);

conforms(
  'a secret without a value is described, and its value is not found',
  {
    source: `${api}API_CreateSecret.html`,
    not: { MiniStack: 'it returns a secret without a value as a success' },
  },
  async () => {
    const Name = newName();
    await send.create({ Name });
    expect(await send.describe(Name)).toMatchObject({ Name });
    const empty = await errorOf(send.get({ SecretId: Name }));
    expect(empty).toBeInstanceOf(ResourceNotFoundException);
    expect(empty).toHaveProperty('message', expect.stringMatching(/secret value/i));
  },
);

conforms(
  'a new value is current, and the value before it stays readable as previous',
  { source: `${guide}whats-in-a-secret.html#term_version` },
  async () => {
    const Name = newName();
    const first = await send.create({ Name, SecretString: 'old' });
    const second = await send.put({ SecretId: Name, SecretString: 'new' });
    expect(second.VersionId).not.toBe(first.VersionId);
    expect(await send.get({ SecretId: Name })).toMatchObject({
      SecretString: 'new',
      VersionId: second.VersionId,
    });
    const previous = { SecretString: 'old', VersionId: first.VersionId, VersionStages: ['AWSPREVIOUS'] };
    expect(await send.get({ SecretId: Name, VersionStage: 'AWSPREVIOUS' })).toMatchObject(previous);
    expect(await send.get({ SecretId: Name, VersionId: first.VersionId })).toMatchObject(previous);
    const { VersionIdsToStages } = await send.describe(Name);
    expect(VersionIdsToStages).toEqual({
      [first.VersionId ?? '']: ['AWSPREVIOUS'],
      [second.VersionId ?? '']: ['AWSCURRENT'],
    });
  },
);

conforms(
  'a value that is put twice with one token is one version, and another value with that token is refused',
  {
    source: `${api}API_PutSecretValue.html#SecretsManager-PutSecretValue-request-ClientRequestToken`,
    not: { MiniStack: 'it makes a new version each time' },
  },
  async () => {
    const Name = newName();
    await send.create({ Name, SecretString: 'old' });
    const repeated = { SecretId: Name, SecretString: 'new', ClientRequestToken: randomUUID() };
    await send.put(repeated);
    expect(await send.put(repeated)).toMatchObject({ VersionId: repeated.ClientRequestToken });
    expect(await send.get({ SecretId: Name, VersionStage: 'AWSPREVIOUS' })).toMatchObject({
      SecretString: 'old',
    });
    const other = await errorOf(send.put({ ...repeated, SecretString: 'another' }));
    expect(other).toBeInstanceOf(ResourceExistsException);
    expect(await send.get({ SecretId: Name })).toMatchObject({ SecretString: 'new' });
  },
);

conforms(
  'a binary value comes back as bytes, without text',
  { source: `${api}API_GetSecretValue.html#API_GetSecretValue_ResponseSyntax` },
  async () => {
    const Name = newName();
    await send.create({ Name, SecretBinary: Uint8Array.from([0, 255, 7]) });
    const { SecretBinary, SecretString } = await send.get({ SecretId: Name });
    expect([...(SecretBinary ?? [])]).toEqual([0, 255, 7]);
    expect(SecretString).toBeUndefined();
  },
);

conforms(
  'a name is used once',
  { source: `${api}API_CreateSecret.html#API_CreateSecret_Errors` },
  async () => {
    const Name = newName();
    await send.create({ Name, SecretString: 'first' });
    expect(await errorOf(send.create({ Name, SecretString: 'second' }))).toBeInstanceOf(
      ResourceExistsException,
    );
    expect(await send.get({ SecretId: Name })).toMatchObject({ SecretString: 'first' });
  },
);

conforms(
  'a secret scheduled for deletion is not read, but described',
  { source: `${api}API_DeleteSecret.html` },
  async () => {
    const Name = newName();
    await send.create({ Name, SecretString: 's' });
    await send.remove(Name);
    expect(await errorOf(send.get({ SecretId: Name }))).toBeInstanceOf(InvalidRequestException);
    expect((await send.describe(Name)).DeletedDate).toBeInstanceOf(Date);
  },
);

conforms(
  'a secret scheduled for deletion gets no new value',
  {
    source: `${api}API_PutSecretValue.html#API_PutSecretValue_Errors`,
    not: { moto: 'it takes the value' },
  },
  async () => {
    const Name = newName();
    await send.create({ Name, SecretString: 's' });
    await send.remove(Name);
    const refused = await errorOf(send.put({ SecretId: Name, SecretString: 'new' }));
    expect(refused).toBeInstanceOf(InvalidRequestException);
  },
);

const existsAlready = 'it says that the secret exists, not that it is scheduled for deletion';
conforms(
  'a secret scheduled for deletion is not created again',
  {
    source: `${api}API_CreateSecret.html#API_CreateSecret_Errors`,
    not: { MiniStack: existsAlready, moto: existsAlready },
  },
  async () => {
    const Name = newName();
    await send.create({ Name, SecretString: 's' });
    await send.remove(Name);
    const refused = await errorOf(send.create({ Name, SecretString: 'new' }));
    expect(refused).toBeInstanceOf(InvalidRequestException);
  },
);

conforms(
  'a secret deleted without recovery is gone, and its name is free',
  { source: `${api}API_DeleteSecret.html#SecretsManager-DeleteSecret-request-ForceDeleteWithoutRecovery` },
  async () => {
    const Name = newName();
    await send.create({ Name, SecretString: 's' });
    await send.remove(Name, true);
    expect(await errorOf(send.get({ SecretId: Name }))).toBeInstanceOf(ResourceNotFoundException);
    await send.create({ Name, SecretString: 'again' });
    expect(await send.get({ SecretId: Name })).toMatchObject({ SecretString: 'again' });
  },
);
