import { ScanCommand } from '@aws-sdk/client-dynamodb';
import type { AttributeValue, DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import * as z from 'zod/mini';
import type { TokenCipher } from '../../../functions/core/ports.ts';
import { instanceRowSchema, type InstanceRow } from '../../../functions/model/instance.ts';
import type { EventEnvelope } from '../../../infra/local/aws/event-bus.ts';
import type { Instance } from '../../../infra/local/cloud-elements/simulator.ts';
import type { Life } from './tenant.ts';
import { fromStored } from '../../../functions/model/table.ts';

export async function readRows(client: DynamoDBClient, TableName: string): Promise<InstanceRow[]> {
  const rows: InstanceRow[] = [];
  let ExclusiveStartKey: Record<string, AttributeValue> | undefined;
  do {
    const page = await client.send(new ScanCommand({ TableName, ExclusiveStartKey }));
    rows.push(...(page.Items ?? []).map((item) => instanceRowSchema.parse(fromStored(unmarshall(item)))));
    ExclusiveStartKey = page.LastEvaluatedKey;
  } while (ExclusiveStartKey);
  return rows;
}

/** True for a row that still needs work, if only a recheck. */
export const isUnsettled = ({ status, checkAt, leaseExpiresAt }: InstanceRow): boolean =>
  status === 'provisioning' || status === 'deleting' || checkAt !== undefined || leaseExpiresAt > Date.now();

/** Violations, by name. */
export const findings = {
  duplicates: 'tenants with more than one live instance',
  doubled: 'duplicate instances without a late create as the reason',
  orphans: 'live instances that no active row names',
  lostTokens: 'active rows without the token of their live instance',
  stuckRows: 'rows that are not settled',
  broken: 'tenants whose state differs from their last response, or without one',
  untold: 'tenants without a result event for their final state',
};

const resultSchema = z.object({ tenantId: z.string(), id: z.optional(z.number()) });

/** The subjects of each violation. */
export type Findings = Record<keyof typeof findings, string[]>;

/** Compares everything at Cloud Elements, in the table and on the bus once the stack is at rest. */
export async function audit({
  lives,
  rows,
  instances,
  events,
  cipher,
}: {
  lives: readonly Life[];
  rows: readonly InstanceRow[];
  instances: readonly Instance[];
  events: readonly EventEnvelope[];
  cipher: TokenCipher;
}): Promise<Omit<Findings, 'doubled'>> {
  const active = rows.filter(({ status }) => status === 'active');
  const rowOf = new Map(rows.map((row) => [row.tenantId, row]));
  const instanceOf = new Map(instances.map((instance) => [instance.id, instance]));
  const owned = new Set(active.map(({ instanceId }) => instanceId));
  const results = new Set(
    events.flatMap((event) => {
      const { tenantId, id } = resultSchema.safeParse(event.detail).data ?? {};
      return tenantId === undefined ? [] : [`${event['detail-type']} ${tenantId} ${id}`];
    }),
  );

  async function hasItsToken(row: InstanceRow): Promise<boolean> {
    const instance = row.instanceId === undefined ? undefined : instanceOf.get(row.instanceId);
    return row.token !== undefined && (await cipher.decrypt(row.token, row)) === instance?.token;
  }

  function isAsTold({ plan, ends, token, name, unserved }: Life): boolean {
    if (unserved !== undefined) return false;
    const row = rowOf.get(plan.tenantId);
    if (ends === undefined) return true;
    if (row?.status !== ends) return false;
    if (ends === 'removed') return true;
    const instance = row.instanceId === undefined ? undefined : instanceOf.get(row.instanceId);
    const isNamed = name === undefined || (row.name === name && instance?.name === name);
    return isNamed && row.instanceId === token?.id && instance?.token === token?.token;
  }

  const tagged = instances.map(tenantOf);
  const lost = await Promise.all(active.map(async (row) => !(await hasItsToken(row))));
  return {
    duplicates: [...new Set(tagged.filter((tenantId, index) => tagged.indexOf(tenantId) !== index))],
    orphans: instances.filter(({ id }) => !owned.has(id)).map(tenantOf),
    lostTokens: active.filter((_row, index) => lost[index]).map(({ tenantId }) => tenantId),
    stuckRows: rows.filter(isUnsettled).map(({ tenantId, status }) => `${tenantId} (${status})`),
    broken: lives
      .filter((life) => !isAsTold(life))
      .map(({ plan, unserved }) => `${plan.tenantId} (${unserved ?? plan.course})`),
    untold: rows
      .filter(
        ({ status, tenantId, instanceId }) =>
          !results.has(`${resultNames[status]} ${tenantId} ${instanceId}`),
      )
      .map(({ tenantId, status }) => `${tenantId} (${status})`),
  };
}

const resultNames: Partial<Record<InstanceRow['status'], string>> = {
  active: 'InstanceProvisioned',
  failed: 'InstanceFailed',
  removed: 'InstanceRemoved',
};

function tenantOf({ tags }: Instance): string {
  return tags.find((tag) => tag.startsWith('tenant:'))?.slice('tenant:'.length) ?? 'of no tenant';
}
