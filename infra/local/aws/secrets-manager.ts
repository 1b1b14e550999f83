import { randomBytes, randomUUID } from 'node:crypto';
import * as z from 'zod/mini';
import { AwsError, accountId, operation, region } from './aws-protocol.ts';
import type { Operations } from './aws-protocol.ts';

const name = z.string().check(z.minLength(1), z.maxLength(512));
/** The SDK sends `SecretBinary` as base64 and takes it back as such. */
const value = { SecretString: z.optional(z.string()), SecretBinary: z.optional(z.string()) };

const getSchema = z.object({
  SecretId: name,
  VersionId: z.optional(z.string()),
  VersionStage: z.optional(z.string()),
});
const describeSchema = z.object({ SecretId: name });
const createSchema = z.object({ Name: name, ...value, ClientRequestToken: z.optional(z.string()) });
const putSchema = z.object({ SecretId: name, ...value, ClientRequestToken: z.optional(z.string()) });
const deleteSchema = z.object({ SecretId: name, ForceDeleteWithoutRecovery: z.optional(z.boolean()) });

type Value = { SecretString?: string | undefined; SecretBinary?: string | undefined };
type Version = Value & { versionId: string; createdAtMs: number };
type Secret = { name: string; arn: string; current?: Version; previous?: Version; deletedAtMs?: number };

/** Secrets in memory, each with its current and its previous version. */
export function createSecretsManager({
  onNewValue = () => {},
  now = Date.now,
}: {
  /** After `PutSecretValue`. Not for the first value of a new secret: AWS documents no event for it. */
  onNewValue?: (secret: { name: string; arn: string; versionId: string }) => void;
  now?: () => number;
} = {}) {
  const secrets = new Map<string, Secret>();

  function find(id: string): Secret {
    // As in Secrets Manager, an ARN also works without the six random characters at its end.
    const secret =
      secrets.get(id) ??
      [...secrets.values()].find(({ arn }) => arn === id || arn.slice(0, -'-xxxxxx'.length) === id);
    if (!secret)
      throw new AwsError('ResourceNotFoundException', "Secrets Manager can't find the specified secret.");
    return secret;
  }

  function findUsable(id: string): Secret {
    const secret = find(id);
    if (secret.deletedAtMs !== undefined) throw markedForDeletion();
    return secret;
  }

  function create(secretName: string): Secret {
    const known = secrets.get(secretName);
    if (known?.deletedAtMs !== undefined) throw markedForDeletion();
    if (known) throw new AwsError('ResourceExistsException', `The secret ${secretName} already exists.`);
    const arn = `arn:aws:secretsmanager:${region}:${accountId}:secret:${secretName}-${randomBytes(3).toString('hex')}`;
    const secret = { name: secretName, arn };
    secrets.set(secretName, secret);
    return secret;
  }

  /** @returns whether this is a new version: the SDK repeats a call with the same token */
  function setValue(secret: Secret, newValue: Value, versionId: string = randomUUID()): boolean {
    const { SecretString, SecretBinary } = newValue;
    const known = versionsOf(secret).find(({ version }) => version.versionId === versionId)?.version;
    if (known) {
      if (known.SecretString === SecretString && known.SecretBinary === SecretBinary) return false;
      throw new AwsError('ResourceExistsException', 'A version with this token has another value.');
    }
    if (secret.current) secret.previous = secret.current;
    secret.current = { SecretString, SecretBinary, versionId, createdAtMs: now() };
    return true;
  }

  const operations: Operations = {
    'secretsmanager.GetSecretValue': operation(
      getSchema,
      ({ SecretId, VersionId, VersionStage = VersionId === undefined ? 'AWSCURRENT' : undefined }) => {
        const secret = findUsable(SecretId);
        const found = versionsOf(secret).find(
          ({ stage, version }) =>
            (VersionStage === undefined || stage === VersionStage) &&
            (VersionId === undefined || version.versionId === VersionId),
        );
        if (!found) {
          throw new AwsError(
            'ResourceNotFoundException',
            "Secrets Manager can't find the specified secret value.",
          );
        }
        const { SecretString, SecretBinary, versionId, createdAtMs } = found.version;
        return {
          ARN: secret.arn,
          Name: secret.name,
          VersionId: versionId,
          VersionStages: [found.stage],
          CreatedDate: createdAtMs / 1_000,
          SecretString,
          SecretBinary,
        };
      },
    ),

    'secretsmanager.DescribeSecret': operation(describeSchema, ({ SecretId }) => {
      const secret = find(SecretId);
      const { arn, name: Name, deletedAtMs } = secret;
      const stages = versionsOf(secret).map(({ stage, version }) => [version.versionId, [stage]]);
      return {
        ARN: arn,
        Name,
        ...(deletedAtMs !== undefined && { DeletedDate: deletedAtMs / 1_000 }),
        ...(stages.length > 0 && { VersionIdsToStages: Object.fromEntries(stages) }),
      };
    }),

    'secretsmanager.CreateSecret': operation(createSchema, ({ Name, ClientRequestToken, ...newValue }) => {
      const secret = create(Name);
      if (newValue.SecretString !== undefined || newValue.SecretBinary !== undefined) {
        setValue(secret, newValue, ClientRequestToken);
      }
      return { ARN: secret.arn, Name, VersionId: secret.current?.versionId };
    }),

    'secretsmanager.PutSecretValue': operation(putSchema, ({ SecretId, ClientRequestToken, ...newValue }) => {
      const secret = findUsable(SecretId);
      const isNew = setValue(secret, newValue, ClientRequestToken);
      if (isNew && secret.current) onNewValue({ ...secret, versionId: secret.current.versionId });
      return {
        ARN: secret.arn,
        Name: secret.name,
        VersionId: ClientRequestToken ?? secret.current?.versionId,
        VersionStages: ['AWSCURRENT'],
      };
    }),

    'secretsmanager.DeleteSecret': operation(deleteSchema, ({ SecretId, ForceDeleteWithoutRecovery }) => {
      const secret = find(SecretId);
      secret.deletedAtMs = now();
      if (ForceDeleteWithoutRecovery) secrets.delete(secret.name);
      return { ARN: secret.arn, Name: secret.name, DeletionDate: secret.deletedAtMs / 1_000 };
    }),
  };

  return {
    operations,

    /** Creates the secret or gives it a new value, as an operator would, but without a client and without an event. */
    put(secretName: string, secretString: string): void {
      setValue(secrets.get(secretName) ?? create(secretName), { SecretString: secretString });
    },
  };
}

function versionsOf({ current, previous }: Secret) {
  return [
    ...(current ? [{ stage: 'AWSCURRENT', version: current }] : []),
    ...(previous ? [{ stage: 'AWSPREVIOUS', version: previous }] : []),
  ];
}

function markedForDeletion(): AwsError {
  return new AwsError(
    'InvalidRequestException',
    "You can't perform this operation on the secret because it was marked for deletion.",
  );
}
