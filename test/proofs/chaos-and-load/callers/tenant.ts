import * as z from 'zod/mini';
import type { InstanceRow } from '../../../../functions/model/instance.ts';
import type { Instance } from '../../../../infra/local/cloud-elements/simulator.ts';
import type { Random } from '../../../support/seeded-random.ts';
import { Unserved, createClient } from './client.ts';

/** The plan of a tenant's own actions. */
export type Plan = {
  tenantId: string;
  arrival: 'by HTTP' | 'by event' | 'by both at once';
  /** Sends its key in the request; otherwise it is in the tenant's secret. Events never contain one. */
  bringsKey: boolean;
  course:
    | 'stays'
    | 'leaves'
    | 'leaves and comes back'
    /** Sends one HTTP request, and no other. */
    | 'loses interest'
    /** Is offboarded by an event while it is still being onboarded by another. */
    | 'leaves at once';
  departure: 'by HTTP' | 'by event';
};

export type Life = {
  plan: Plan;
  /** The final outcome that the tenant got: undefined when it did not wait for one. */
  ends: 'active' | 'removed' | undefined;
  /** The token that the tenant's application uses. */
  token: { id: number; token: string } | undefined;
  name: string | undefined;
  unserved: string | undefined;
};

/**
 * Event times have whole seconds, and the clock skew of a trial is shorter than one, unlike the deployed one: events, and
 * events after a request, must be this far apart.
 */
const tickMs = 1_100;

const tokenSchema = z.object({ id: z.number(), token: z.string() });
const statusSchema = z.object({ status: z.string() });

export function drawPlan(index: number, random: Random): Plan {
  const arrivals = ['by HTTP', 'by HTTP', 'by event', 'by event', 'by both at once'] as const;
  const courses = ['stays', 'stays', 'stays', 'stays', 'leaves', 'leaves', 'leaves and comes back'] as const;
  const arrival = random.oneOf(arrivals);
  const unusual = arrival === 'by HTTP' ? 'loses interest' : 'leaves at once';
  return {
    tenantId: `tenant-${index + 1}`,
    arrival,
    bringsKey: arrival === 'by HTTP' && random.chance(0.5),
    course: random.chance(0.08) ? unusual : random.oneOf(courses),
    departure: random.oneOf<Plan['departure']>(['by HTTP', 'by event']),
  };
}

/** Carries out the plan; rejects after an unexpected response. */
export async function live(
  plan: Plan,
  {
    client,
    apiKey,
    putEvent,
    random,
  }: {
    client: ReturnType<typeof createClient>;
    apiKey: string;
    putEvent: (detailType: string, detail: { tenantId: string }) => Promise<void>;
    random: Random;
  },
): Promise<Life> {
  const { tenantId, arrival, bringsKey, course, departure } = plan;
  const path = `/tenants/${tenantId}/instances`;
  const request = {
    element: { key: 'taxify' },
    ...(bringsKey && { configuration: { 'api.key': apiKey } }),
  };
  let lastSentAt = 0;
  const life: Life = { plan, ends: undefined, token: undefined, name: undefined, unserved: undefined };
  try {
    await (course === 'loses interest' ? client.askOnce('POST', path, request) : go());
  } catch (error) {
    if (!(error instanceof Unserved)) throw error;
    life.unserved = error.message;
  }
  return life;

  async function go(): Promise<void> {
    if (course === 'leaves at once') {
      await send('TenantOnboarded');
      await tick();
      await send('TenantOffboarded');
      life.ends = 'removed';
      return;
    }
    await arrive();
    await useToken();
    await change();
    if (course === 'stays') return;
    await leave();
    if (course === 'leaves') return;
    await provision();
    await useToken();
  }

  async function arrive(): Promise<void> {
    if (arrival === 'by HTTP') return provision();
    await send('TenantOnboarded');
    if (arrival === 'by both at once') {
      // Sometimes events are delivered twice.
      await Promise.all([send('TenantOnboarded'), provision()]);
    }
    await client.pollUntil(`${path}/taxify`, isActive);
    life.ends = 'active';
  }

  async function provision(): Promise<void> {
    expectStatus(await client.ask('POST', path, request), [200, 201]);
    lastSentAt = Date.now();
    life.ends = 'active';
    life.name = undefined;
  }

  async function useToken(): Promise<void> {
    const response = await client.ask('GET', `${path}/taxify/token`);
    expectStatus(response, [200]);
    life.token = tokenSchema.parse(response.json);
  }

  async function change(): Promise<void> {
    const name = `${tenantId} renamed`;
    const configuration = random.chance(0.5) ? { 'pagination.max': random.between(10, 99) } : undefined;
    expectStatus(await client.ask('PATCH', `${path}/taxify`, { name, configuration }), [200]);
    life.name = name;
  }

  async function leave(): Promise<void> {
    await client.abandonedEnd();
    life.token = undefined;
    await tick();
    if (departure === 'by HTTP') {
      expectStatus(await client.ask('DELETE', `${path}/taxify`), [204]);
    } else {
      await send('TenantOffboarded');
      await client.pollUntil(`${path}/taxify`, ({ status }) => status === 404);
      await tick();
    }
    life.ends = 'removed';
    await client.abandonedEnd();
  }

  async function send(detailType: string): Promise<void> {
    await putEvent(detailType, { tenantId });
    lastSentAt = Date.now();
  }

  /** Waits until the next event has a later time than the last event or request. */
  async function tick(): Promise<void> {
    await client.pause(Math.max(0, lastSentAt + tickMs - Date.now()), 'the next second');
  }

  function expectStatus({ status, json }: { status: number; json: unknown }, expected: number[]): void {
    if (!expected.includes(status)) throw new Error(`${tenantId} got ${status} ${JSON.stringify(json)}`);
  }
}

const isActive = ({ status, json }: { status: number; json: unknown }): boolean =>
  status === 200 && statusSchema.safeParse(json).data?.status === 'active';

/** True when row and instance are as the tenant's last response says. */
export function isAsResponded(
  { ends, token, name, unserved }: Life,
  row: InstanceRow | undefined,
  instanceOf: ReadonlyMap<number, Instance>,
): boolean {
  if (unserved !== undefined) return false;
  if (ends === undefined) return true;
  if (row?.status !== ends) return false;
  if (ends === 'removed') return true;
  const instance = row.instanceId === undefined ? undefined : instanceOf.get(row.instanceId);
  const isNamed = name === undefined || (row.name === name && instance?.name === name);
  return isNamed && row.instanceId === token?.id && instance?.token === token?.token;
}
