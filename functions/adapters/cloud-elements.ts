import * as z from 'zod/mini';
import type { CloudElements, ElementInstance, LookUp, Mishap } from '../core/collaborators.ts';
import { OnboardingError } from '../core/errors.ts';
import {
  describe,
  isAbsent,
  isSuccess,
  isUnauthorized,
  successOf,
  type CallCloudElements,
  type Reply,
  type Request,
} from './cloud-elements-http.ts';

/** Opaque, but it travels in a header whose parts are separated by commas. */
const elementTokenSchema = z.string().check(z.regex(/^[^\s,\p{Cc}]+$/u));

/** Only to choose the oldest by: whatever else it is counts as not given. */
const createdDateSchema = z.catch(z.optional(z.string()), undefined);

/** Of some thirty fields only these two are always there. */
const createdSchema = z.object({
  id: z.int(),
  token: elementTokenSchema,
  createdDate: createdDateSchema,
});

/** Some views leave the tags or the token out, and tags were objects once. */
const shownSchema = z.object({
  id: z.int(),
  element: z.object({ key: z.string() }),
  token: z.catch(z.optional(elementTokenSchema), undefined),
  tags: z.nullish(z.array(z.union([z.string(), z.object({ name: z.string() })]))),
  createdDate: createdDateSchema,
  /** Absent in older answers. */
  valid: z.catch(z.boolean(), true),
  disabled: z.catch(z.boolean(), false),
});
type Shown = z.infer<typeof shownSchema>;

const elementOnlySchema = z.object({ element: z.object({ key: z.string() }) });

/** Client of Cloud Elements' `/instances`: its quirks end here. */
export function createCloudElements({
  call,
  now = Date.now,
}: {
  call: CallCloudElements;
  now?: () => number;
}): CloudElements {
  return {
    async create({ tenantId, elementKey, name, tags, configuration }, { timeoutMs }) {
      const reply = await call(
        {
          method: 'POST',
          path: '/instances',
          body: { element: { key: elementKey }, name, tags, configuration },
          secrets: Object.values(configuration),
          about: { tenantId, elementKey, ...generationOf(tags) },
        },
        { timeoutMs },
      );
      const instance = successOf(reply, createdSchema);
      if (instance) return { kind: 'created', instance };
      return mishapOf(reply, `make the ${elementKey} instance of tenant ${tenantId}`, now());
    },

    async change({ tenantId, elementKey, instanceId }, changes, { timeoutMs }) {
      const reply = await call(
        {
          method: 'PATCH',
          path: `/instances/${instanceId}`,
          body: changes,
          secrets: Object.values(changes.configuration ?? {}),
          about: { tenantId, elementKey, instanceId },
        },
        { timeoutMs },
      );
      if (isSuccess(reply)) return { kind: 'changed' };
      if (isAbsent(reply)) return { kind: 'absent' };
      return mishapOf(reply, `change the ${elementKey} instance of tenant ${tenantId}`, now());
    },

    async lookUp({ elementKey, tag, instanceId }, { timeoutMs }) {
      const deadlineAt = now() + timeoutMs;
      const listed = await listAll({ elementKey, tag }, deadlineAt);
      if (listed.kind === 'unknown' || instanceId === undefined) return listed;
      if (listed.instances.some(({ id }) => id === instanceId)) return listed;
      // The row knows it by its id, so that it is not listed yet proves nothing.
      const recorded = await read(instanceId, deadlineAt);
      if (recorded === 'gone') return listed;
      if (!recorded?.token) return { kind: 'unknown', reason: `instance ${instanceId} cannot be read` };
      return { kind: 'found', instances: [...listed.instances, instanceOf(recorded, recorded.token)] };
    },

    async list({ tag, page }, { timeoutMs }) {
      const reply = await call(listRequest(tag, page), { timeoutMs });
      if (isAbsent(reply) && page === undefined) {
        return { kind: 'listed', instances: [], nextPage: undefined };
      }
      const shown = successOf(reply, z.array(shownSchema));
      if (!shown) return { kind: 'unknown', reason: describe(reply) };
      const instances = shown
        .filter((item) => hasTag(item, tag))
        .map(({ id, element, token, valid, disabled, ...item }) => ({
          id,
          elementKey: element.key,
          tenantId: tagsOf(item)
            .find((each) => each.startsWith('tenant:'))
            ?.slice('tenant:'.length),
          token,
          valid,
          disabled,
        }));
      return { kind: 'listed', instances, nextPage: nextPageOf(reply) };
    },

    async remove(instanceId, { timeoutMs }) {
      const reply = await call(
        { method: 'DELETE', path: `/instances/${instanceId}`, about: { instanceId } },
        { timeoutMs },
      );
      if (isAbsent(reply) || isSuccess(reply)) return { removed: true };
      return { removed: false, reason: describe(reply) };
    },
  };

  async function listAll(marker: { elementKey: string; tag: string }, deadlineAt: number): Promise<LookUp> {
    const instances: ElementInstance[] = [];
    const pagesSeen = new Set<string>();
    let nextPage: string | undefined;
    for (;;) {
      const reply = await call(listRequest(marker.tag, nextPage), { timeoutMs: deadlineAt - now() });
      if (isAbsent(reply) && nextPage === undefined) return { kind: 'found', instances };
      const page = successOf(reply, z.array(z.unknown()));
      if (!page) return { kind: 'unknown', reason: describe(reply) };
      for (const item of page) {
        const match = await matching(item, marker, deadlineAt);
        if (match.kind === 'unknown') return match;
        instances.push(...match.instances);
      }
      nextPage = nextPageOf(reply);
      if (nextPage === undefined) return { kind: 'found', instances };
      if (pagesSeen.has(nextPage)) return { kind: 'unknown', reason: 'the list repeats a page' };
      pagesSeen.add(nextPage);
    }
  }

  /** The server's filters are coarse, so element and tag are compared here; what shows no tags is read by its id. */
  async function matching(
    item: unknown,
    marker: { elementKey: string; tag: string },
    deadlineAt: number,
  ): Promise<LookUp> {
    const none: LookUp = { kind: 'found', instances: [] };
    const listed = shownSchema.safeParse(item).data;
    if (!listed) {
      const stranger = elementOnlySchema.safeParse(item).data;
      if (stranger && stranger.element.key !== marker.elementKey) return none;
      return { kind: 'unknown', reason: 'the list has an item that cannot be read' };
    }
    if (listed.tags?.length && !hasTag(listed, marker.tag)) return none;
    if (listed.element.key !== marker.elementKey) {
      return hasTag(listed, marker.tag)
        ? { kind: 'unknown', reason: `instance ${listed.id} has our tag, but is of ${listed.element.key}` }
        : none;
    }
    const shown = listed.tags?.length && listed.token ? listed : await read(listed.id, deadlineAt);
    if (shown === 'gone') return none;
    if (!shown?.tags?.length) return { kind: 'unknown', reason: `instance ${listed.id} shows no tags` };
    if (!hasTag(shown, marker.tag)) return none;
    if (!shown.token) return { kind: 'unknown', reason: `instance ${listed.id} shows no token` };
    return { kind: 'found', instances: [instanceOf(shown, shown.token)] };
  }

  async function read(instanceId: number, deadlineAt: number): Promise<Shown | 'gone' | undefined> {
    const reply = await call(
      { method: 'GET', path: `/instances/${instanceId}`, about: { instanceId } },
      { timeoutMs: deadlineAt - now() },
    );
    return isAbsent(reply) ? 'gone' : successOf(reply, shownSchema);
  }
}

function listRequest(tag: string, nextPage: string | undefined): Request {
  return {
    method: 'GET',
    path: '/instances',
    query: { 'tags[]': tag, ...(nextPage !== undefined && { nextPage }) },
    about: generationOf([tag]),
  };
}

/** By the marker tag `provision:<id>`, if it is among them. */
function generationOf(tags: readonly string[]) {
  return { provisionId: tags.find((tag) => tag.startsWith('provision:'))?.slice('provision:'.length) };
}

/** Absent and empty both mean that this was the last. */
function nextPageOf(reply: Reply): string | undefined {
  return (reply.kind === 'answer' && reply.header('elements-next-page-token')) || undefined;
}

function tagsOf({ tags }: Pick<Shown, 'tags'>): string[] {
  return tags?.map((tag) => (typeof tag === 'string' ? tag : tag.name)) ?? [];
}

const hasTag = (shown: Shown, tag: string): boolean => tagsOf(shown).includes(tag);

function instanceOf({ id, createdDate }: Shown, token: string): ElementInstance {
  return { id, token, createdDate };
}

/** @param what was to be done: "make the … instance of tenant …" */
function mishapOf(reply: Reply, what: string, nowMs: number): Mishap {
  if (reply.kind === 'no-credentials') return { kind: 'not-done', error: reply.error };
  if (reply.kind === 'broken') {
    if (reply.sent) return { kind: 'unknown', reason: reply.reason };
    const error = new OnboardingError(
      'cloud-elements-unreachable',
      `Cloud Elements could not be reached to ${what} (${reply.reason}). Nothing was sent; ask again.`,
    );
    return { kind: 'not-done', error, retryAfterMs: 0 };
  }
  const { status, requestId } = reply;
  if (status === 429) {
    const retryAfterMs = retryAfterOf(reply.header('retry-after'), nowMs);
    const error = new OnboardingError(
      'cloud-elements-busy',
      `Cloud Elements takes no more requests at the moment (429) and did not ${what}.`,
      { requestId, retryAfterMs },
    );
    return { kind: 'not-done', error, retryAfterMs };
  }
  if (isUnauthorized(reply)) {
    const error = new OnboardingError(
      'platform-credentials-refused',
      `Cloud Elements refuses the platform's user and organization secret (401) and did not ${what}. ` +
        'Put the current ones into the platform secret.',
      { requestId },
    );
    return { kind: 'not-done', error };
  }
  const isRefusal = status >= 400 && status < 500 && status !== 408 && status !== 409;
  if (!isRefusal) return { kind: 'unknown', reason: describe(reply), requestId };
  if (!reply.refusal) {
    const error = new OnboardingError(
      'cloud-elements-unreadable',
      `Something in front of Cloud Elements refused to ${what} (${describe(reply)}). Check the stack's base URL.`,
      { requestId },
    );
    return { kind: 'refused', error };
  }
  const said = reply.refusal.message ? `: ${reply.refusal.message}` : '';
  const error = new OnboardingError(
    'refused-by-cloud-elements',
    `Cloud Elements refused to ${what} (${status})${said}. Correct the request or the tenant's secret and ask again.`,
    { requestId },
  );
  return { kind: 'refused', error };
}

/** RFC 9110: seconds or a date. */
function retryAfterOf(value: string | undefined, nowMs: number): number {
  if (value === undefined) return 0;
  const delayMs = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - nowMs;
  return Number.isFinite(delayMs) ? Math.max(0, delayMs) : 0;
}
