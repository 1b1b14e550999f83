import * as z from 'zod/mini';
import { tenantIdSchema } from '../../../functions/model/instance.ts';
import { elements, type ElementEntry } from '../cloud-elements/catalog.ts';
import type { LocalStack } from '../stack.ts';
import type { Activity, Row, Tone } from './activity.ts';
import { isSwitch, type Switches } from './switches.ts';

/** What the forms of the page do. */

/** The result of the latest action. */
export type Result = { readonly asked: string; readonly said: string; readonly tone: Tone };

const text = z.optional(z.string());
const keyShape = { tenantId: z.string(), elementKey: z.string() };
const provisionSchema = z.object({ ...keyShape, name: text, tags: text, by: text });
const keySchema = z.object(keyShape);
const switchSchema = z.object({ switch: z.string().check(z.refine(isSwitch)) });

/** The used part of an answer of the API, an instance or a problem. */
const answerSchema = z.object({
  status: z.optional(z.union([z.string(), z.number()])),
  id: z.optional(z.number()),
  title: text,
  detail: text,
  lastError: z.optional(z.object({ code: z.string(), detail: z.string() })),
  errors: z.optional(z.array(z.object({ pointer: text, parameter: text, detail: z.string() }))),
});

/** @returns undefined if there is no such action, or its form is not complete */
export type Act = (path: string, form: Readonly<Record<string, string>>) => Promise<void> | undefined;

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

  async function showing(asked: string, act: () => Promise<Omit<Result, 'asked'>>): Promise<void> {
    const own = ++latest;
    result = { asked, said: '…', tone: 'busy' };
    activity.changed();
    const said = await act().catch((): Omit<Result, 'asked'> => ({
      said: 'There was no response.',
      tone: 'bad',
    }));
    if (own !== latest) return;
    result = { asked, ...said };
    activity.changed();
  }

  function call(method: string, path: string, body?: object): Promise<void> {
    return showing(`${method} ${path}`, async () => {
      const response = await fetch(`${stack.apiUrl}${path}`, {
        method,
        ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
      });
      const tone = response.status === 202 ? 'doubt' : response.ok ? 'good' : 'bad';
      return { said: `${response.status}: ${wordsOf(await response.text())}`, tone };
    });
  }

  function provisionByEvent(tenantId: string, elementKey: string, settings: object): Promise<void> {
    return showing(`TenantOnboarded ${tenantId}`, async () => {
      const problem = tenantIdSchema.safeParse(tenantId).error?.issues[0]?.message;
      if (problem) return { said: `A tenant's id has ${problem}.`, tone: 'bad' };
      stack.putSecret(stack.tenantSecretName(tenantId, elementKey), madeUpCredentials(elementKey));
      const Detail = JSON.stringify({ tenantId, element: { key: elementKey }, ...settings });
      const entry = { EventBusName: stack.busName, Source: 'page', DetailType: 'TenantOnboarded', Detail };
      const response = await fetch(stack.awsUrl, {
        method: 'POST',
        headers: { 'x-amz-target': 'AWSEvents.PutEvents' },
        body: JSON.stringify({ Entries: [entry] }),
      });
      if (!response.ok) return { said: `${response.status}`, tone: 'bad' };
      return { said: 'The event is on the bus. Its queue repeats it until it is done.', tone: 'good' };
    });
  }

  const actions: Record<string, (form: unknown) => Promise<void> | undefined> = {
    '/provision': (form) => {
      const parsed = provisionSchema.safeParse(form).data;
      if (!parsed) return undefined;
      const { tenantId, elementKey, by } = parsed;
      const tags = (parsed.tags ?? '').split(',').flatMap((tag) => tag.trim() || []);
      const settings = { ...(parsed.name && { name: parsed.name }), ...(tags.length > 0 && { tags }) };
      return by === 'event'
        ? provisionByEvent(tenantId, elementKey, settings)
        : call('POST', pathOf(tenantId), bodyOf(elementKey, settings));
    },
    '/ask-again': (form) => {
      const key = keySchema.safeParse(form).data;
      const row = activity
        .rows()
        .find((stored) => stored.tenantId === key?.tenantId && stored.elementKey === key.elementKey)?.row;
      return row && call('POST', pathOf(row.tenantId), sameRequestAs(row));
    },
    '/remove': (form) => {
      const key = keySchema.safeParse(form).data;
      return key && call('DELETE', `${pathOf(key.tenantId)}/${encodeURIComponent(key.elementKey)}`);
    },
    '/reconcile': () =>
      showing('reconcile-instances', async () => {
        await stack.runSchedule('reconcile-instances');
        return { said: 'The reconciler has worked all rows that are due.', tone: 'good' };
      }),
    '/switch': async (form) => {
      const name = switchSchema.safeParse(form).data?.switch;
      if (name && isSwitch(name)) switches.flip(name);
    },
    '/list-late': async () => switches.flipListing(),
  };

  return {
    result: () => result,
    act: ((path, form) => (Object.hasOwn(actions, path) ? actions[path]?.(form) : undefined)) satisfies Act,
  };
}

const pathOf = (tenantId: string): string => `/tenants/${encodeURIComponent(tenantId)}/instances`;

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
  const answer = answerSchema.safeParse(JSON.parse(body)).data;
  if (!answer) return 'no JSON of the service';
  const { status, id, title, detail, lastError, errors = [] } = answer;
  const problems = errors.map((error) => `${error.pointer ?? error.parameter ?? ''} ${error.detail}`.trim());
  return [
    ...(typeof status === 'string' ? [status] : []),
    ...(id === undefined ? [] : [`instance ${id}`]),
    ...(problems.length > 0 ? problems : [detail ?? title ?? []].flat()),
    ...(lastError ? [`${lastError.code}: ${lastError.detail}`] : []),
  ].join(', ');
}
