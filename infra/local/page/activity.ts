import type { AttributeValue } from '@aws-sdk/client-dynamodb';
import { unmarshall } from '@aws-sdk/util-dynamodb';
import type { DynamoDBRecord } from 'aws-lambda';
import * as z from 'zod/mini';
import {
  auditPartition,
  elementKeySchema,
  exactNumber,
  instanceRowSchema,
  tenantIdSchema,
  wholeTenant,
} from '../../../functions/model/instance.ts';
import { fromStored } from '../../../functions/model/table.ts';
import type { EventEnvelope } from '../aws/event-bus.ts';
import type { Fault, ReceivedRequest } from '../cloud-elements/simulator.ts';
import type { Watcher } from '../stack.ts';

/**
 * The page's view of the stack: the rows of the table, and the latest requests, events and log lines. It keeps ids and
 * outcomes only: no body, no header, no query, no configuration and no token.
 */

/** How an entry or a comparison is colored. */
export type Tone = 'good' | 'bad' | 'doubt' | 'busy' | 'plain';

export type Entry = {
  readonly id: number;
  /** ms since the epoch */
  readonly at: number;
  readonly source: 'HTTP API' | 'Cloud Elements' | 'Event' | 'Service';
  readonly what: string;
  readonly tenantId?: string | undefined;
  /** Undefined while a request is under way. */
  readonly outcome: string | undefined;
  readonly tone: Tone;
  readonly durationMs?: number;
};
type NewEntry = Omit<Entry, 'id' | 'at'>;

const rowSchema = z.pick(instanceRowSchema, {
  tenantId: true,
  elementKey: true,
  status: true,
  instanceId: true,
  name: true,
  tags: true,
  createdAt: true,
  lastError: true,
  provisionId: true,
  leaseExpiresAt: true,
  inDoubt: true,
  source: true,
});
export type Row = z.infer<typeof rowSchema>;

/** `row`: undefined when it cannot be read. */
export type Stored = {
  readonly tenantId: string;
  readonly elementKey: string;
  readonly row: Row | undefined;
  /** The response to a create for it was lost. The row says so only when the service gives up looking at once. */
  readonly isCreateLost?: boolean;
};

const keptEntries = 200;

export type Activity = ReturnType<typeof createActivity>;

export function createActivity({ now = Date.now }: { now?: () => number } = {}) {
  const rows = new Map<string, Stored>();
  const entries: Entry[] = [];
  const listeners = new Set<() => void>();
  /** Generations with a create whose response was lost, until their rows are settled. */
  const lostCreates = new Set<string>();
  let lastId = 0;

  function changed(): void {
    for (const listener of listeners) listener();
  }

  function add(entry: NewEntry): Entry {
    const added = { id: ++lastId, at: now(), ...entry };
    entries.push(added);
    if (entries.length > keptEntries) entries.shift();
    changed();
    return added;
  }

  /** Returns a function that completes the entry. */
  function begin(entry: Pick<NewEntry, 'source' | 'what' | 'tenantId'>) {
    const begun = add({ ...entry, outcome: undefined, tone: 'busy' });
    return (end: Pick<Entry, 'outcome' | 'tone'>): void => {
      const index = entries.indexOf(begun);
      if (index !== -1) entries[index] = { ...begun, ...end, durationMs: now() - begun.at };
      changed();
    };
  }

  function tenantOf({ parameters, ...request }: ReceivedRequest, ofInstance: TenantOfInstance) {
    const generation = markerOf(request, 'provision');
    const tenantId =
      markerOf(request, 'tenant') ??
      [...rows.values()].find(({ row }) => generation !== undefined && row?.provisionId === generation)
        ?.tenantId ??
      (parameters.id === '' ? undefined : ofInstance(Number(parameters.id)));
    return tenantIdSchema.safeParse(tenantId).data;
  }

  /** @param ofInstance the tenant of an instance at Cloud Elements, which a request by id does not name */
  const watcher = (ofInstance: TenantOfInstance): Watcher => ({
    onWrite(record) {
      const stored = storedIn(record);
      if (!stored) return;
      const id = JSON.stringify([stored.tenantId, stored.elementKey]);
      if (record.eventName === 'REMOVE') rows.delete(id);
      else rows.set(id, stored);
      const { status, provisionId } = stored.row ?? {};
      if (provisionId !== undefined && status !== 'provisioning') lostCreates.delete(provisionId);
      changed();
    },

    onEvent(event) {
      add(entryOfEvent(event));
    },

    onApiRequest({ routeKey, pathParameters }) {
      const tenantId = tenantIdSchema.safeParse(pathParameters['tenantId']).data;
      const elementKey = elementKeySchema.safeParse(pathParameters['elementKey']).data;
      const what = filledIn(routeKey, { tenantId, elementKey });
      const end = begin({ source: 'HTTP API', what, tenantId });
      return (status) => end({ outcome: String(status), tone: toneOfStatus(status) });
    },

    onCloudElementsRequest(request, fault) {
      const { operation, parameters } = request;
      if (!operation) return () => {};
      const { id, configId, keyOrId } = parameters;
      const element = elementKeySchema.safeParse(keyOrId).data;
      const what = filledIn(operation, { id, configId, keyOrId: element });
      const end = begin({ source: 'Cloud Elements', what, tenantId: tenantOf(request, ofInstance) });
      const generation = operation === 'POST /instances' ? markerOf(request, 'provision') : undefined;
      // The response of a request that stalls is known to be lost before it ends.
      if (generation !== undefined && fault?.outcome.kind === 'stall') lostCreates.add(generation);
      return (status) => {
        if (generation !== undefined && isLost(status)) lostCreates.add(generation);
        // Cloud Elements responds to an empty list with 404.
        if (operation === 'GET /instances' && status === 404)
          end({ outcome: '404: none found', tone: 'plain' });
        else end(outcomeOfCall(status, operation === 'POST /instances' ? fault : undefined));
      };
    },
  });

  return {
    /** The latest ones, in order. */
    entries: (): readonly Entry[] => entries,
    rows: (): Stored[] =>
      [...rows.values()].map((stored) => ({
        ...stored,
        isCreateLost: stored.row !== undefined && lostCreates.has(stored.row.provisionId),
      })),
    watcher,
    add,

    /** Adds log lines about a tenant, except those of requests and calls, which have entries of their own. */
    addLogLine(line: string): void {
      const entry = entryOfLogLine(line);
      if (entry) add(entry);
    },

    changed,
    /** Calls the function after each change. @returns a function that ends this */
    subscribe(listener: () => void): () => void {
      listeners.add(listener);
      return () => listeners.delete(listener);
    },
  };
}

type TenantOfInstance = (instanceId: number) => string | undefined;

const taggedSchema = z.object({ tags: z.array(z.string()) });

/** The value of a marker tag, of the instance that a request creates or looks for. */
function markerOf({ query, body }: Pick<ReceivedRequest, 'query' | 'body'>, name: string) {
  const { tags = [] } = taggedSchema.safeParse(body).data ?? {};
  const prefix = `${name}:`;
  return [...tags, ...query.getAll('tags[]')].find((tag) => tag.startsWith(prefix))?.slice(prefix.length);
}

/** A parameter without a value has one that is no id: it may be anything, a credential among it. */
const filledIn = (route: string, values: Readonly<Record<string, string | undefined>>): string =>
  route.replaceAll(/\{(\w+)\}/g, (_, name: string) => values[name] ?? '…');

/** Whether this outcome of a create leaves open if there is an instance. */
const isLost = (status: number | undefined): boolean =>
  status === undefined ||
  (status >= 300 && status < 400) ||
  status === 408 ||
  status === 409 ||
  status >= 500;
const imageSchema = z.record(z.string(), z.custom<AttributeValue>());
const keySchema = z.object({ tenantId: z.string(), elementKey: z.string() });

/** Undefined for items that are no instance of a tenant: the audit's progress, and tombstones of whole tenants. */
function storedIn({ dynamodb: { Keys, NewImage } = {} }: DynamoDBRecord): Stored | undefined {
  const key = keySchema.safeParse(unmarshalled(Keys)).data;
  if (!key || key.tenantId === auditPartition || key.elementKey === wholeTenant) return undefined;
  return { ...key, row: rowSchema.safeParse(unmarshalled(NewImage)).data };
}

function unmarshalled(image: unknown): unknown {
  const item = imageSchema.safeParse(image).data;
  return item && fromStored(unmarshall(item, { wrapNumbers: exactNumber }));
}

function toneOfStatus(status: number): Tone {
  if (status === 202) return 'doubt';
  return status < 400 ? 'good' : 'bad';
}

function outcomeOfCall(
  status: number | undefined,
  fault: Pick<Fault, 'effect' | 'outcome'> | undefined,
): Pick<Entry, 'outcome' | 'tone'> {
  const effect =
    fault && (fault.effect === 'applied' ? ': the instance was created' : ': nothing was created');
  if (status !== undefined) {
    const tone = toneOfStatus(status);
    return { outcome: `${status}${tone === 'bad' ? (effect ?? '') : ''}`, tone };
  }
  const ending = fault?.outcome.kind === 'reset' ? 'connection cut' : 'no response';
  return { outcome: `${fault ? ending : 'caller gone'}${effect ?? ''}`, tone: 'bad' };
}

const eventDetailSchema = z.object({
  tenantId: tenantIdSchema,
  element: z.optional(z.object({ key: elementKeySchema })),
});

/** The rest of the detail is the sender's, who may have put a credential into it. */
function entryOfEvent({ source, detail, 'detail-type': type }: EventEnvelope): NewEntry {
  const { tenantId, element } = eventDetailSchema.safeParse(detail).data ?? {};
  return {
    source: 'Event',
    what: element ? `${type} ${element.key}` : type,
    tenantId,
    outcome: `from ${source}`,
    tone: /Fail|Unhealthy/.test(type) ? 'bad' : 'plain',
  };
}

const logLineSchema = z.object({
  level: z.string(),
  message: z.string(),
  tenantId: z.string(),
  outcome: z.optional(z.string()),
  instanceId: z.optional(z.union([z.number(), z.string()])),
  reason: z.optional(z.string()),
});

/** Lines that repeat an entry of a request, a call or an event. */
const repeating = new Set(['request', 'cloud-elements', 'change']);

function entryOfLogLine(line: string): NewEntry | undefined {
  const logged = logLineSchema.safeParse(parseJson(line)).data;
  if (!logged || repeating.has(logged.message)) return undefined;
  const { level, message, tenantId, outcome, instanceId, reason } = logged;
  return {
    source: 'Service',
    what: message === 'message' ? 'message of the queue' : message,
    tenantId,
    outcome: outcome ?? (instanceId === undefined ? (reason ?? '') : `instance ${instanceId}`),
    tone: level === 'ERROR' ? 'bad' : level === 'WARN' ? 'doubt' : 'plain',
  };
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
