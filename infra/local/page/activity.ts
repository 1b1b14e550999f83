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
};

const keptEntries = 200;

export type Activity = ReturnType<typeof createActivity>;

export function createActivity({ now = Date.now }: { now?: () => number } = {}) {
  const rows = new Map<string, Stored>();
  const entries: Entry[] = [];
  const listeners = new Set<() => void>();
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

  function tenantOf({ parameters, query, body }: ReceivedRequest, ofInstance: TenantOfInstance) {
    const { tags: sentTags = [] } = taggedSchema.safeParse(body).data ?? {};
    const tags = [...sentTags, ...query.getAll('tags[]')];
    const generation = tags.find((tag) => tag.startsWith('provision:'))?.slice('provision:'.length);
    return (
      tags.find((tag) => tag.startsWith('tenant:'))?.slice('tenant:'.length) ??
      [...rows.values()].find(({ row }) => generation !== undefined && row?.provisionId === generation)
        ?.tenantId ??
      (parameters.id === '' ? undefined : ofInstance(Number(parameters.id)))
    );
  }

  /** @param ofInstance the tenant of an instance at Cloud Elements, which a request by id does not name */
  const watcher = (ofInstance: TenantOfInstance): Watcher => ({
    onWrite(record) {
      const stored = storedIn(record);
      if (!stored) return;
      const id = JSON.stringify([stored.tenantId, stored.elementKey]);
      if (record.eventName === 'REMOVE') rows.delete(id);
      else rows.set(id, stored);
      changed();
    },

    onEvent(event) {
      add(entryOfEvent(event));
    },

    onApiRequest({ routeKey, pathParameters }) {
      // A value that is no id may be anything, a credential among it.
      const tenantId = tenantIdSchema.safeParse(pathParameters['tenantId']).data;
      const elementKey = elementKeySchema.safeParse(pathParameters['elementKey']).data;
      const what = routeKey.replace('{tenantId}', tenantId ?? '…').replace('{elementKey}', elementKey ?? '…');
      const end = begin({ source: 'HTTP API', what, tenantId });
      return (status) => end({ outcome: String(status), tone: toneOfStatus(status) });
    },

    onCloudElementsRequest(request, fault) {
      const { operation, parameters } = request;
      if (!operation) return () => {};
      const what = operation.replace('{id}', parameters.id).replace('{keyOrId}', parameters.keyOrId);
      const end = begin({ source: 'Cloud Elements', what, tenantId: tenantOf(request, ofInstance) });
      return (status) => {
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
    rows: (): Stored[] => [...rows.values()],
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

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
