import { ScanCommand, type AttributeValue } from '@aws-sdk/client-dynamodb';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import { randomBytes } from 'node:crypto';
import { setTimeout } from 'node:timers/promises';
import pMap from 'p-map';
import * as z from 'zod/mini';
import { instanceRowSchema, type InstanceRow } from '../../../functions/model/instance.ts';
import { fromStored } from '../../../functions/model/table.ts';
import type { EventEnvelope } from '../../../infra/local/aws/event-bus.ts';
import type { Instance, PlatformSecrets } from '../../../infra/local/cloud-elements/simulator.ts';
import { createLeakSearch } from '../../support/leak-search.ts';
import type { ReceivedResponse, Service } from '../../support/running-service.ts';
import { responseKindOf, type ResponseKind } from './responses.ts';

export type Oracle = ReturnType<typeof createOracle>;

/** The subjects of each violation, by the name of the violation. */
export type Found = Record<string, readonly string[]>;

/** A stream publishes results a moment after the write. */
const resultLimitMs = 60_000;

const resultNames: Partial<Record<InstanceRow['status'], string>> = {
  active: 'InstanceProvisioned',
  failed: 'InstanceFailed',
  removed: 'InstanceRemoved',
};
const resultSchema = z.object({ tenantId: z.string(), id: z.optional(z.number()) });
const tokenSchema = z.object({ token: z.string() });

/**
 * Checks the promises of the service under disturbances: nothing lost, duplicated or stuck, every final state published,
 * no secret leaked, every response documented.
 * @param withRechecks false when deployed: a recheck comes an hour after its create
 * @param mayDie functions are killed during requests, which the gateway then answers with 500
 */
export function createOracle(
  service: Service,
  { withRechecks, mayDie }: Record<'withRechecks' | 'mayDie', boolean>,
) {
  const { simulator, dynamoDb, tableName } = service;
  /** Part of every credential that is sent: a text that contains a piece of it contains a secret. */
  const marker = randomBytes(12).toString('hex');
  const leaks = createLeakSearch();
  leaks.plant('a planted credential', marker);
  let planted = 0;
  /** By id; the tokens of removed instances must not be in a log either. */
  const tokens = new Map<number, string>();
  const responses: string[] = [];
  const undocumented: string[] = [];

  const isUnsettled = ({ status, checkAt, leaseExpiresAt }: InstanceRow): boolean =>
    status === 'provisioning' ||
    status === 'deleting' ||
    leaseExpiresAt > Date.now() ||
    (withRechecks && checkAt !== undefined);

  function rememberTokens(): void {
    for (let index = simulator.instances.length - 1; index >= 0; index -= 1) {
      const instance = simulator.instances[index];
      if (!instance || tokens.has(instance.id)) return;
      tokens.set(instance.id, instance.token);
    }
  }

  async function readRows(): Promise<InstanceRow[]> {
    const rows: InstanceRow[] = [];
    let ExclusiveStartKey: Record<string, AttributeValue> | undefined;
    do {
      const page = await dynamoDb.send(new ScanCommand({ TableName: tableName, ExclusiveStartKey }));
      rows.push(...(page.Items ?? []).map((item) => instanceRowSchema.parse(fromStored(unmarshall(item)))));
      ExclusiveStartKey = page.LastEvaluatedKey;
    } while (ExclusiveStartKey);
    return rows;
  }

  async function unpublished(rows: readonly InstanceRow[]): Promise<string[]> {
    const until = Date.now() + resultLimitMs;
    for (;;) {
      const results = new Set((await service.events()).flatMap(resultIn));
      const missing = rows.filter(
        ({ status, tenantId, instanceId }) =>
          !results.has(`${resultNames[status]} ${tenantId} ${instanceId}`),
      );
      if (missing.length === 0 || Date.now() > until) return missing.map(nameOf);
      await setTimeout(500);
    }
  }

  return {
    mayDie,
    readRows,
    rememberTokens,
    /** A new credential. */
    plant: (): string => `${marker}-${++planted}`,
    plantPlatformSecret(when: string, secrets: PlatformSecrets): void {
      for (const [name, secret] of Object.entries(secrets)) leaks.plant(`the ${name} ${when}`, secret);
      planted += 2;
    },

    /** Keeps a response for the search for leaks. @param isToken the response may hold the token */
    check(
      what: string,
      response: ReceivedResponse,
      { isToken = false, isHead = false } = {},
    ): ResponseKind | 'undocumented' {
      const { status, headers, text } = response;
      responses.push(`${status} ${JSON.stringify(headers)} ${isToken && status === 200 ? '' : text}`);
      const kind = responseKindOf(response, { isHead, mayDie });
      if (typeof kind === 'string') return kind;
      undocumented.push(`${what} → ${kind.wrong}`);
      return 'undocumented';
    },
    /** The undocumented responses since the last call. */
    takeUndocumented: () => undocumented.splice(0),

    /** Waits until all is quiet and no row needs work, or until the limit. @param isQuiet does an operator's work first */
    async waitForRest({
      isQuiet,
      limitMs,
      pauseMs,
      show,
    }: {
      isQuiet: () => Promise<boolean>;
      limitMs: number;
      pauseMs: number;
      show: (progress: string) => void;
    }): Promise<void> {
      const until = Date.now() + limitMs;
      while (Date.now() < until) {
        const isDone = await isQuiet();
        const unsettled = (await readRows()).filter(isUnsettled).length;
        if (isDone && unsettled === 0) return;
        show(isDone ? `${unsettled} rows not settled` : 'messages in flight');
        await setTimeout(pauseMs);
      }
    },

    /** Compares rows, instances, tokens and results. @param tokenSample the most tokens that are read */
    async compare({
      isOurs = () => true,
      tokenSample = Infinity,
    }: { isOurs?: (tenantId: string) => boolean; tokenSample?: number } = {}) {
      const rows = (await readRows()).filter(({ tenantId }) => isOurs(tenantId));
      const instances = simulator.instances.filter((instance) => isOurs(tenantOf(instance)));
      const instanceOf = new Map(instances.map((instance) => [instance.id, instance]));
      const perKey = Map.groupBy(instances, (instance) => `${tenantOf(instance)}/${instance.element.key}`);
      const active = rows.filter(({ status }) => status === 'active');
      const owned = new Set(active.map(({ instanceId }) => instanceId));
      const served = active.filter(({ instanceId = 0 }) => instanceOf.has(instanceId));
      const step = Math.max(1, Math.floor(served.length / tokenSample));
      const sample = served.filter((_row, index) => index % step === 0).slice(0, tokenSample);
      const wrongTokens: string[] = [];
      await pMap(
        sample,
        async ({ tenantId, elementKey, instanceId = 0 }) => {
          const { json } = await service.get(`/tenants/${tenantId}/instances/${elementKey}/token`);
          const { token } = tokenSchema.safeParse(json).data ?? {};
          if (token === undefined || token !== instanceOf.get(instanceId)?.token) wrongTokens.push(tenantId);
        },
        { concurrency: 8 },
      );
      return {
        rows,
        instanceOf,
        served,
        sampledTokens: sample.length,
        found: {
          duplicates: [...perKey].filter(([, { length }]) => length > 1).map(([name]) => name),
          orphans: instances.filter(({ id }) => !owned.has(id)).map(tenantOf),
          lost: active.filter(({ instanceId = 0 }) => !instanceOf.has(instanceId)).map(nameOf),
          wrongTokens,
          stuck: rows.filter(isUnsettled).map(nameOf),
          unpublished: await unpublished(rows),
        },
      };
    },

    /** Searches all responses and the whole log for secrets and tokens. */
    async searchLeaks() {
      rememberTokens();
      for (const [id, token] of tokens) leaks.plant(`the token of instance ${id}`, token, { step: 10 });
      const lines = await service.logs();
      return {
        responses: responses.length,
        lines: lines.length,
        secrets: planted + tokens.size,
        found: { leaks: [...leaks.leaksIn(responses), ...leaks.leaksIn(lines)] },
      };
    },
  };
}

function resultIn(event: EventEnvelope): string[] {
  const { tenantId, id } = resultSchema.safeParse(event.detail).data ?? {};
  return tenantId === undefined ? [] : [`${event['detail-type']} ${tenantId} ${id}`];
}

const nameOf = ({ tenantId, elementKey, status }: InstanceRow): string =>
  `${tenantId}/${elementKey} (${status})`;

function tenantOf({ tags }: Pick<Instance, 'tags'>): string {
  return tags.find((tag) => tag.startsWith('tenant:'))?.slice('tenant:'.length) ?? 'no tenant';
}
