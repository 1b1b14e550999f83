import { setTimeout } from 'node:timers/promises';
import type { InstanceRow } from '../../../functions/model/instance.ts';
import type { Instance } from '../../../infra/local/cloud-elements/simulator.ts';
import { readRows } from '../chaos/audit.ts';
import type { DeployedStack } from '../../service/deployed/deployed-stack.ts';

/** True for a row that is being worked on, or still needs work. */
const isUnsettled = ({ status, leaseExpiresAt }: InstanceRow): boolean =>
  status === 'provisioning' || status === 'deleting' || leaseExpiresAt > Date.now();

/**
 * Waits until the queues are empty and the reconciler has settled all rows, or until the limit.
 * @param redrive sends dead letters again, and returns their number
 */
export async function waitForRest(
  stack: DeployedStack,
  {
    limitMs,
    show,
    redrive = async () => 0,
  }: { limitMs: number; show: (progress: string) => void; redrive?: () => Promise<number> },
): Promise<void> {
  const until = Date.now() + limitMs;
  while (Date.now() < until) {
    if ((await redrive()) === 0 && (await stack.areQueuesEmpty())) {
      const unsettled = (await readRows(stack.dynamoDb, stack.tableName)).filter(isUnsettled).length;
      if (unsettled === 0) return;
      show(`${unsettled} rows not settled`);
    } else show('messages under way');
    await setTimeout(3_000);
  }
}

/** Compares the tenants' rows in the table with their instances at Cloud Elements. */
export async function compare(stack: DeployedStack, isOurs: (tenantId: string) => boolean) {
  const rows = (await readRows(stack.dynamoDb, stack.tableName)).filter(({ tenantId }) => isOurs(tenantId));
  const instances = stack.simulator.instances.filter((instance) => isOurs(tenantOf(instance)));
  const perKey = Map.groupBy(instances, (instance) => `${tenantOf(instance)}/${instance.element.key}`);
  const active = rows.filter(({ status }) => status === 'active');
  const owned = new Map(active.map((row) => [row.instanceId, row]));
  const alive = new Set(instances.map(({ id }) => id));
  return {
    rows,
    instances,
    active: active.filter(({ instanceId = 0 }) => alive.has(instanceId)),
    duplicates: [...perKey].filter(([, { length }]) => length > 1).map(([name]) => name),
    orphans: instances.filter(({ id }) => !owned.has(id)).map(tenantOf),
    lost: active.filter(({ instanceId = 0 }) => !alive.has(instanceId)).map(nameOf),
    stuck: rows.filter(isUnsettled).map(nameOf),
  };
}

const nameOf = ({ tenantId, elementKey }: InstanceRow): string => `${tenantId}/${elementKey}`;

export function tenantOf({ tags }: Pick<Instance, 'tags'>): string {
  return tags.find((tag) => tag.startsWith('tenant:'))?.slice('tenant:'.length) ?? '';
}
