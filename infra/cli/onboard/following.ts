import { BatchGetItemCommand, type DynamoDBClient } from '@aws-sdk/client-dynamodb';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import * as z from 'zod/mini';
import type { ErrorCode } from '../../../functions/model/errors.ts';
import { exactNumber, instanceRowSchema, type InstanceKey } from '../../../functions/model/instance.ts';
import { isImport, type EventRequest, type TenantRequest } from './manifest.ts';
import { fromStored, storedName } from '../../../functions/model/table.ts';

/** How a row of the manifest ended. `unknown`: no final state was seen in time; the row may still succeed or fail. */
export type End = {
  outcome: 'active' | 'failed' | 'unknown';
  /** False when the table had the outcome already, so no event was sent. */
  isSent: boolean;
  code?: string | undefined;
  why?: string | undefined;
};

/** The part of a table's row that shows the state of an onboarding; the token is not in it. */
const stateSchema = z.pick(instanceRowSchema, {
  tenantId: true,
  elementKey: true,
  status: true,
  instanceId: true,
  fingerprint: true,
  source: true,
  requestedBy: true,
  lastError: true,
  notices: true,
});
type Readable = z.infer<typeof stateSchema>;

/** `unreadable`: another version, or a manual edit, has written the row. */
export type State = Readable | { status: 'unreadable'; lastError?: undefined };

/** DynamoDB's limit for one call. */
const maxKeys = 100;

/** Errors that refuse an event for good; after all other errors the queue delivers it again. */
export const finalCodes: ReadonlySet<string> = new Set<ErrorCode>([
  'invalid-request',
  'missing-configuration',
  'refused-by-cloud-elements',
]);

/**
 * Reads the table's rows of these tenants, 100 per call, consistently. Rows that DynamoDB leaves out for lack of
 * capacity are not in the result; `undefined` in the result means that the row does not exist.
 */
export async function readStates<Key extends InstanceKey>(
  { dynamoDb, tableName }: { dynamoDb: DynamoDBClient; tableName: string },
  keys: readonly Key[],
): Promise<Map<Key, State | undefined>> {
  const states = new Map<Key, State | undefined>();
  for (let start = 0; start < keys.length; start += maxKeys) {
    const chunk = keys.slice(start, start + maxKeys);
    const { Responses, UnprocessedKeys } = await dynamoDb.send(
      new BatchGetItemCommand({
        RequestItems: {
          [tableName]: {
            Keys: chunk.map(({ tenantId, elementKey }) => ({
              tenantId: { S: tenantId },
              elementKey: { S: elementKey },
            })),
            ConsistentRead: true,
            ...stateOnly,
          },
        },
      }),
    );
    const found = new Map<string, State>();
    for (const item of Responses?.[tableName] ?? []) {
      const attributes = fromStored(unmarshall(item, { wrapNumbers: exactNumber }));
      found.set(
        nameOf(keySchema.parse(attributes)),
        stateSchema.safeParse(attributes).data ?? { status: 'unreadable' },
      );
    }
    const left = new Set(
      UnprocessedKeys?.[tableName]?.Keys?.map((key) => nameOf(keySchema.parse(unmarshall(key)))),
    );
    for (const key of chunk) if (!left.has(nameOf(key))) states.set(key, found.get(nameOf(key)));
  }
  return states;
}

const keySchema = z.object({ tenantId: z.string(), elementKey: z.string() });
const nameOf = ({ tenantId, elementKey }: InstanceKey): string => `${tenantId}/${elementKey}`;

/** Aliased because some names are reserved words of DynamoDB. */
const stateAttributes = Object.keys(stateSchema.shape).map(storedName);
const stateOnly = {
  ProjectionExpression: stateAttributes.map((name) => `#${name}`).join(', '),
  ExpressionAttributeNames: Object.fromEntries(stateAttributes.map((name) => [`#${name}`, name])),
};

/** One object for all rows with this end: there may be very many. */
const alreadyActive: End = { outcome: 'active', isSent: false };

/** The outcome that the row shows before an event is sent; undefined when one must be sent. */
export function endWithoutSending(request: TenantRequest, state: State | undefined): End | undefined {
  if (state?.status === 'unreadable') return unreadable(false);
  if (state?.status !== 'active') return undefined;
  if (isImport(request)) {
    const { instanceId } = state;
    return instanceId === request.instanceId
      ? alreadyActive
      : {
          outcome: 'failed',
          isSent: false,
          code: 'settings-conflict' satisfies ErrorCode,
          why: otherInstance(instanceId),
        };
  }
  return isSame(request, state) ? alreadyActive : conflict(false);
}

const otherInstance = (instanceId: number | undefined): string =>
  `It is active with instance ${instanceId}. To import another, remove that one first.`;

/** The instance has its credentials from the tenant's secret; rows of an earlier version do not record their source. */
function isSame(request: EventRequest, { fingerprint, source }: Readable): boolean {
  return fingerprint === request.fingerprint && source !== 'request';
}

/** When the row last failed, ms since the epoch. */
export const failedAt = (state: State | undefined): number | undefined => state?.lastError?.at;

/** `failedBefore`: when the row had last failed before the event was sent. */
type Sent = { request: EventRequest; eventId: string; failedBefore: number | undefined };

/** The outcome of the request that the row shows; undefined while it is open. */
export function endOf({ request, eventId, failedBefore }: Sent, state: State | undefined): End | undefined {
  if (!state) return undefined;
  if (state.status === 'unreadable') return unreadable(true);
  const refusal = state.notices?.find((notice) => notice.eventId === eventId && notice.outcome === 'refused');
  if (refusal) return { outcome: 'failed', isSent: true, code: refusal.code, why: refusal.detail };
  const isOurs = state.requestedBy?.eventId === eventId;
  switch (state.status) {
    case 'active':
      // If our event made the instance, other settings mean a later change.
      return isOurs || isSame(request, state) ? { outcome: 'active', isSent: true } : conflict(true);
    case 'failed': {
      const { lastError } = state;
      // If the same request arrived twice, the row records one of the two.
      const isSameRequest = state.fingerprint === request.fingerprint && lastError?.at !== failedBefore;
      // The error is that of an earlier event, or the queue will deliver ours again.
      if (!lastError || !(isOurs || isSameRequest) || !finalCodes.has(lastError.code)) return undefined;
      const { code, detail, requestId } = lastError;
      const why = requestId === undefined ? detail : `${detail} (request ${requestId})`;
      return { outcome: 'failed', isSent: true, code, why };
    }
    case 'deleting':
    case 'removed':
      return isOurs
        ? { outcome: 'failed', isSent: true, code: 'removed', why: 'It was onboarded, and removed since.' }
        : undefined;
    case 'provisioning':
      return undefined;
  }
}

/** The outcome when no final state was seen in time: the last state seen. */
export function endOfWaiting(state: State | undefined, waitedMs: number): End {
  const status = state
    ? `its row says ${state.status}${state.lastError ? ` (${state.lastError.code}: ${state.lastError.detail})` : ''}`
    : 'it has no row yet';
  return {
    outcome: 'unknown',
    isSent: true,
    code: 'no-outcome',
    why:
      `No outcome after ${Math.round(waitedMs / 1_000)} s: ${status}. Either the queue is still retrying, or the ` +
      'event is in the dead-letter queue.',
  };
}

function unreadable(isSent: boolean): End {
  return {
    outcome: 'failed',
    isSent,
    code: 'row-unreadable',
    why: 'This version cannot read the row in the table. Deploy the version that wrote it, or correct the row.',
  };
}

function conflict(isSent: boolean): End {
  return {
    outcome: 'failed',
    isSent,
    code: 'settings-conflict' satisfies ErrorCode,
    why:
      'It is active with another name, other tags or other configuration, or its credentials came from a request. ' +
      'Change it by PATCH, or remove it first.',
  };
}
