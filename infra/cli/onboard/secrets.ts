import { DescribeSecretCommand } from '@aws-sdk/client-secrets-manager';
import pMap from 'p-map';
import * as z from 'zod/mini';
import { isGood, type Row } from './manifest.ts';
import { reasonOf, TargetError, type TenantSecrets } from './target.ts';

/** Secrets Manager allows 10,000 calls per second; a call takes some 20 ms. */
const atOnce = 20;

const secretSchema = z.object({
  DeletedDate: z.optional(z.date()),
  VersionIdsToStages: z.optional(z.record(z.string(), z.array(z.string()))),
});

/**
 * Names each row's secret that is missing or unusable. Only describes the secrets: values are never read, so it is not
 * checked whether a value has the right entries.
 * @throws TargetError when Secrets Manager refuses to describe a secret
 */
export async function findMissingSecrets(
  rows: readonly Row[],
  { secretsManager, prefix }: TenantSecrets,
): Promise<{ line: number; fault: string }[]> {
  const waiting = rows.filter(isGood).filter(({ needsSecret }) => needsSecret);
  const faults = await pMap(
    waiting,
    async ({ line, request: { tenantId, elementKey } }) => {
      const name = `${prefix}/${tenantId}/${elementKey}`;
      const state = await stateOf(name);
      return state === undefined
        ? []
        : [{ line, fault: `the secret ${name} of tenant ${tenantId} ${state}` }];
    },
    { concurrency: atOnce },
  );
  return faults.flat();

  async function stateOf(name: string): Promise<string | undefined> {
    try {
      const description = await secretsManager.send(new DescribeSecretCommand({ SecretId: name }));
      const { DeletedDate, VersionIdsToStages = {} } = secretSchema.parse(description);
      if (DeletedDate) return 'is scheduled for deletion';
      return Object.values(VersionIdsToStages).flat().includes('AWSCURRENT') ? undefined : 'has no value yet';
    } catch (error) {
      if (error instanceof Error && error.name === 'ResourceNotFoundException') return 'does not exist';
      throw new TargetError(`The secret ${name} cannot be looked at: ${reasonOf(error)}`);
    }
  }
}
