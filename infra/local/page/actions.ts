import * as z from 'zod/mini';
import { elementKeySchema, tenantIdSchema } from '../../../functions/model/instance.ts';
import { elements, type ElementEntry } from '../cloud-elements/catalog.ts';
import type { LocalStack } from '../stack.ts';
import { parseJson, type Activity, type Row, type Tone } from './activity.ts';
import { isSwitch, type Switches } from './switches.ts';

/** The actions behind the page's forms. */

/** The result of the latest action. */
export type Result = { readonly request: string; readonly outcome: string; readonly tone: Tone };

const text = z.optional(z.string());
const keyShape = { tenantId: z.string(), elementKey: z.string() };
const bySchema = z.optional(z.enum(['request', 'event']));
const provisionSchema = z.object({ ...keyShape, name: text, tags: text, by: bySchema });
const keySchema = z.object(keyShape);
const switchSchema = z.object({ switch: z.string() });

/** The used part of the API's responses: an instance, or problem details. */
const responseSchema = z.object({
  status: z.optional(z.union([z.string(), z.number()])),
  id: z.optional(z.number()),
  title: text,
  detail: text,
  // Of the gateway.
  message: text,
  lastError: z.optional(z.object({ code: z.string(), detail: z.string() })),
  errors: z.optional(z.array(z.object({ pointer: text, parameter: text, detail: z.string() }))),
});

export function createActions({
  stack,
  activity,
  switches,
}: {
  stack: LocalStack;
  activity: Activity;
  switches: Switches;
}) {
  let result: Result | undefined;
  /** Only the latest action shows its result. */
  let latest = 0;

  async function showing(request: string, act: () => Promise<Omit<Result, 'request'>>): Promise<void> {
    const own = ++latest;
    result = { request, outcome: '…', tone: 'busy' };
    activity.changed();
    const ended = await act().catch((): Omit<Result, 'request'> => ({
      outcome: 'There was no response.',
      tone: 'bad',
    }));
    if (own !== latest) return;
    result = { request, ...ended };
    activity.changed();
  }

  function call(method: 'POST' | 'DELETE', target: Target, body?: object): Promise<void> {
    return showing(`${method} ${pathOf(shownTarget(target))}`, async () => {
      const problem = unsendable(target);
      if (problem) return { outcome: problem, tone: 'bad' };
      const encoded = mapTarget(target, encodeURIComponent, encodeURIComponent);
      const response = await fetch(`${stack.apiUrl}${pathOf(encoded)}`, {
        method,
        ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      });
      const tone = response.status === 202 ? 'doubt' : response.ok ? 'good' : 'bad';
      return { outcome: `${response.status}: ${wordsOf(await response.text())}`, tone };
    });
  }

  function provisionByEvent(tenantId: string, elementKey: string, settings: object): Promise<void> {
    const problem = notATenant(tenantId);
    return showing(`TenantOnboarded ${problem ? '…' : tenantId}`, async () => {
      if (problem) return { outcome: problem, tone: 'bad' };
      stack.putSecret(stack.tenantSecretName(tenantId, elementKey), madeUpCredentials(elementKey));
      const Detail = JSON.stringify({ tenantId, element: { key: elementKey }, ...settings });
      const entry = { EventBusName: stack.busName, Source: 'page', DetailType: 'TenantOnboarded', Detail };
      const response = await fetch(stack.awsUrl, {
        method: 'POST',
        headers: { 'x-amz-target': 'AWSEvents.PutEvents' },
        body: JSON.stringify({ Entries: [entry] }),
      });
      if (!response.ok) return { outcome: `${response.status}`, tone: 'bad' };
      return { outcome: 'The event is on the bus. Its queue repeats it until it is done.', tone: 'good' };
    });
  }

  /** By path. */
  const actions: Record<string, (form: unknown) => Promise<void> | undefined> = {
    '/provision': (form) => {
      const parsed = provisionSchema.safeParse(form).data;
      if (!parsed) return undefined;
      const { tenantId, elementKey, by } = parsed;
      const tags = (parsed.tags ?? '').split(',').flatMap((tag) => tag.trim() || []);
      const settings = { ...(parsed.name && { name: parsed.name }), ...(tags.length > 0 && { tags }) };
      return by === 'event'
        ? provisionByEvent(tenantId, elementKey, settings)
        : call('POST', { tenantId }, bodyOf(elementKey, settings));
    },
    '/repeat': (form) => {
      const key = keySchema.safeParse(form).data;
      const row = activity
        .rows()
        .find((stored) => stored.tenantId === key?.tenantId && stored.elementKey === key.elementKey)?.row;
      return row && call('POST', { tenantId: row.tenantId }, sameRequestAs(row));
    },
    '/remove': (form) => {
      const key = keySchema.safeParse(form).data;
      return key && call('DELETE', key);
    },
    '/reconcile': () =>
      showing('reconcile-instances', async () => {
        await stack.runSchedule('reconcile-instances');
        return { outcome: 'The reconciler has worked all rows that are due.', tone: 'good' };
      }),
    '/switch': (form) => {
      const name = switchSchema.safeParse(form).data?.switch;
      return name !== undefined && isSwitch(name) ? Promise.resolve(switches.flip(name)) : undefined;
    },
    '/list-late': async () => switches.flipListing(),
  };

  return {
    result: () => result,
    paths: Object.keys(actions),
    /** @returns undefined if there is no such action, or its form is not complete */
    act: (path: string, form: Readonly<Record<string, string>>): Promise<void> | undefined =>
      Object.hasOwn(actions, path) ? actions[path]?.(form) : undefined,
  };
}

type Target = { tenantId: string; elementKey?: string };

const pathOf = ({ tenantId, elementKey }: Target): string =>
  ['/tenants', tenantId, 'instances', ...(elementKey === undefined ? [] : [elementKey])].join('/');

type Replace = (given: string) => string;
const mapTarget = ({ tenantId, elementKey }: Target, tenant: Replace, element: Replace): Target => ({
  tenantId: tenant(tenantId),
  ...(elementKey !== undefined && { elementKey: element(elementKey) }),
});

/** A text that is no id may be anything, a credential pasted into the wrong field among it. */
const shownTarget = (target: Target): Target =>
  mapTarget(
    target,
    (given) => tenantIdSchema.safeParse(given).data ?? '…',
    (given) => elementKeySchema.safeParse(given).data ?? '…',
  );

/** The problem with a text that no path can carry: URLs drop "." and "..", and an empty segment is another route. */
function unsendable({ tenantId, elementKey }: Target): string | undefined {
  if (notInPaths.has(tenantId)) return notATenant(tenantId);
  if (elementKey === undefined || !notInPaths.has(elementKey)) return undefined;
  return notSent("An element's key", problemIn(elementKeySchema, elementKey));
}
const notInPaths = new Set(['', '.', '..']);

/** Undefined for a tenant's id. */
function notATenant(given: string): string | undefined {
  const problem = problemIn(tenantIdSchema, given);
  return problem && notSent("A tenant's id", problem);
}

const problemIn = (schema: typeof tenantIdSchema, given: string): string | undefined =>
  schema.safeParse(given).error?.issues[0]?.message;

const notSent = (what: string, problem = ''): string => `not sent: ${what} has ${problem}.`;

const bodyOf = (elementKey: string, settings: object) => ({
  element: { key: elementKey },
  configuration: madeUpCredentials(elementKey),
  ...settings,
});

/** Repeats the request that the row comes from: from its secret, a request brings no configuration. */
function sameRequestAs({ elementKey, name, tags, source }: Row) {
  return source === 'secret'
    ? { element: { key: elementKey }, name, tags }
    : bodyOf(elementKey, { name, tags });
}

/** The simulator takes any. */
function madeUpCredentials(elementKey: string): Record<string, string> {
  const entries = elements.find(({ key }) => key === elementKey)?.entries ?? [];
  return Object.fromEntries(
    entries.filter(({ required }) => required).map((entry) => [entry.key, madeUpValue(entry)]),
  );
}

const madeUpValue = ({ type }: ElementEntry): string =>
  type === 'TEXTFIELD_1000' ? 'https://local.example' : 'made-up';

/** The API's own words, which hold no credential. */
function wordsOf(body: string): string {
  if (body === '') return 'done';
  const parsed = responseSchema.safeParse(parseJson(body)).data;
  if (!parsed) return 'not a response of the service';
  const { status, id, title, detail, message, lastError, errors = [] } = parsed;
  const problems = errors.map((error) => `${error.pointer ?? error.parameter ?? ''} ${error.detail}`.trim());
  return [
    ...(typeof status === 'string' ? [status] : []),
    ...(id === undefined ? [] : [`instance ${id}`]),
    ...(problems.length > 0 ? problems : [detail ?? title ?? message ?? []].flat()),
    ...(lastError ? [`${lastError.code}: ${lastError.detail}`] : []),
  ].join(', ');
}
