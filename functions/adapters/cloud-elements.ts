import * as z from 'zod/mini';
import { allowedKeys, requiredKeys } from '../model/catalog.ts';
import type { CloudElements, ElementInstance, LookUp, Mishap, ReadOutcome, Sought } from '../core/ports.ts';
import type { Owned } from '../model/markers.ts';
import { OnboardingError } from '../model/errors.ts';
import type { Configuration } from '../model/instance.ts';
import { namesAnother, ownershipOf, provisionTag } from '../model/markers.ts';
import { clockSkewMs } from '../model/timing.ts';
import {
  describe,
  isAbsent,
  isSuccess,
  isUnauthorized,
  successOf,
  type Answer,
  type CallCloudElements,
  type Reply,
  type Request,
} from './cloud-elements-http.ts';
import type { Relaying } from './relay.ts';

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
  name: z.catch(z.optional(z.string()), undefined),
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
          relaying: relayingOf(elementKey, configuration),
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
          relaying: relayingOf(elementKey, changes.configuration),
          about: { tenantId, elementKey, instanceId },
        },
        { timeoutMs },
      );
      // Anything but the instance, a proxy's "accepted" for one, leaves open whether it has taken effect.
      if (successOf(reply, z.object({}))) return { kind: 'changed' };
      if (isAbsent(reply)) return { kind: 'absent' };
      return mishapOf(reply, `change the ${elementKey} instance of tenant ${tenantId}`, now());
    },

    async read(instance, { timeoutMs }) {
      return outcomeOf(await readById(instance.instanceId, now() + timeoutMs), instance);
    },

    async lookUp(sought, { timeoutMs }) {
      const deadlineAt = now() + timeoutMs;
      const search = await searchAll(sought, deadlineAt);
      const { instanceId } = sought;
      if (search.kind === 'unknown' || instanceId === undefined) return search;
      if (search.instances.some(({ id }) => id === instanceId)) return search;
      // The row knows it by its id, so that it is not listed yet proves nothing.
      const recorded = outcomeOf(await readById(instanceId, deadlineAt), sought);
      if (recorded.kind === 'unknown') {
        return { kind: 'unknown', reason: `instance ${instanceId} cannot be read (${recorded.reason})` };
      }
      if (recorded.kind === 'absent' || recorded.owned === 'not-ours') return search;
      const { owned, token, createdDate } = recorded;
      if (owned === 'unmarked') return { kind: 'unknown', reason: `instance ${instanceId} shows no markers` };
      if (!token) return { kind: 'unknown', reason: `instance ${instanceId} shows no token` };
      return { ...search, instances: [...search.instances, { id: instanceId, token, createdDate }] };
    },

    async list({ owner, page }, { timeoutMs }) {
      const reply = await call(listRequest(`owner:${owner}`, page), { timeoutMs });
      if (isAbsent(reply) && page === undefined) {
        return { kind: 'listed', instances: [], nextPage: undefined };
      }
      if (page !== undefined && isPageRefused(reply)) return { kind: 'refused' };
      const items = successOf(reply, z.array(z.unknown()));
      if (!items) return { kind: 'unknown', reason: describe(reply) };
      // One that is not in this form cannot be compared with anything.
      const shown = items.flatMap((item) => shownSchema.safeParse(item).data ?? []);
      const instances = shown.map(({ id, element, token, valid, disabled, ...item }) => ({
        id,
        elementKey: element.key,
        tags: tagsOf(item),
        token,
        valid,
        disabled,
      }));
      return { kind: 'listed', instances, nextPage: nextPageOf(reply) };
    },

    async remove({ tenantId, elementKey, instanceId }, { timeoutMs }) {
      const reply = await call(
        {
          method: 'DELETE',
          path: `/instances/${instanceId}`,
          relaying: relayingOf(elementKey),
          about: { tenantId, elementKey, instanceId },
        },
        { timeoutMs },
      );
      const what = `remove instance ${instanceId} (${elementKey}) of tenant ${tenantId}`;
      const mishap = mishapOf(reply, what, now());
      // Unlike a create, of which 409 says nothing certain: the platform keeps an instance that is in use.
      const keepsIt = reply.kind === 'answer' && reply.status === 409 && reply.refusal !== undefined;
      const isRefused = mishap.kind === 'refused' && mishap.error.code === 'refused-by-cloud-elements';
      if (reply.kind === 'answer' && !isAbsent(reply) && (keepsIt || isRefused)) {
        const { requestId } = reply;
        const error = new OnboardingError('deletion-refused', refusalIn(reply, what), { requestId });
        return { kind: 'refused', error };
      }
      return isAbsent(reply) || isSuccess(reply) ? { kind: 'removed' } : mishap;
    },
  };

  /**
   * Walks through the whole list. Where the filter was seen not to hold, an empty result counts only if two walks in a
   * row have listed the same instances: a list shifts while it is walked through.
   */
  async function searchAll(sought: Sought, deadlineAt: number): Promise<LookUp> {
    let before: Walk | undefined;
    for (;;) {
      const walk = await walkThrough(sought, deadlineAt);
      if (walk.kind === 'unknown') return walk;
      const { instances, isFiltered } = walk;
      if (isFiltered || instances.length > 0 || (before && isSameSet(before.ids, walk.ids))) {
        return { kind: 'found', instances, isCertain: isFiltered };
      }
      if (now() >= deadlineAt) return { kind: 'unknown', reason: 'the list changed while it was read' };
      before = walk;
    }
  }

  async function walkThrough(sought: Sought, deadlineAt: number): Promise<Walk | Unknown> {
    const walk: Walk = { kind: 'walked', ids: new Set(), instances: [], isFiltered: true };
    const tag = provisionTag(sought);
    const pagesSeen = new Set<string>();
    let untagged = 0;
    let nextPage: string | undefined;
    for (;;) {
      const reply = await call(listRequest(tag, nextPage, sought), { timeoutMs: deadlineAt - now() });
      if (isAbsent(reply) && nextPage === undefined) return walk;
      const page = successOf(reply, z.array(z.unknown()));
      if (!page) return { kind: 'unknown', reason: describe(reply) };
      for (const item of page) {
        const listed = readItem(item, sought);
        if (!listed) return { kind: 'unknown', reason: 'the list has an item that cannot be read' };
        if (listed === 'of another element') {
          walk.isFiltered = false;
          continue;
        }
        const isRepeated = walk.ids.has(listed.id);
        walk.ids.add(listed.id);
        if (isRepeated || listed.id === sought.exceptId) continue;
        const isUntagged = !listed.tags?.length;
        if (isUntagged && isCandidate(listed, sought) && (untagged += 1) > mostReadById) {
          return { kind: 'unknown', reason: `more than ${mostReadById} instances show no tags` };
        }
        const match = await matching(listed, sought, deadlineAt);
        if (match.kind === 'unknown') return match;
        if (match.kind === 'unasked') walk.isFiltered = false;
        if (match.kind === 'match') walk.instances.push(match.instance);
      }
      nextPage = nextPageOf(reply);
      if (nextPage === undefined) return walk;
      if (pagesSeen.has(nextPage)) return { kind: 'unknown', reason: 'the list repeats a page' };
      pagesSeen.add(nextPage);
    }
  }

  /** The server's filters are coarse, so all markers are compared here; what shows no tags is read by its id. */
  async function matching(listed: Shown, sought: Sought, deadlineAt: number): Promise<Match> {
    const tag = provisionTag(sought);
    const isUntagged = !listed.tags?.length;
    if (isUntagged ? !isCandidate(listed, sought) : !hasTag(listed, tag)) return { kind: 'unasked' };
    const isWhole = !isUntagged && listed.token !== undefined;
    const shown = isWhole ? listed : await readById(listed.id, deadlineAt);
    if (shown === 'absent') return { kind: 'none' };
    if ('reason' in shown) return { kind: 'unknown', reason: `instance ${listed.id} cannot be read` };
    if (!shown.tags?.length) return { kind: 'unknown', reason: `instance ${listed.id} shows no tags` };
    if (!hasTag(shown, tag)) return { kind: 'unasked' };
    if (namesAnother(markedOf(shown), sought)) return { kind: 'none' };
    if (ownershipOf(markedOf(shown), sought) !== 'ours') {
      const reason = `instance ${listed.id} has our tag, but not tenant, owner and element`;
      return { kind: 'unknown', reason };
    }
    const { id, token, createdDate } = shown;
    if (!token) return { kind: 'unknown', reason: `instance ${id} shows no token` };
    return { kind: 'match', instance: { id, token, createdDate } };
  }

  async function readById(instanceId: number, deadlineAt: number): Promise<Shown | 'absent' | Unknown> {
    const reply = await call(
      { method: 'GET', path: `/instances/${instanceId}`, about: { instanceId } },
      { timeoutMs: deadlineAt - now() },
    );
    if (isAbsent(reply)) return 'absent';
    const shown = successOf(reply, shownSchema);
    // Another instance than the one asked for is no answer.
    if (shown?.id === instanceId) return shown;
    const mishap = mishapOf(reply, `show instance ${instanceId}`, now());
    return {
      kind: 'unknown',
      reason: describe(reply),
      ...(mishap.kind !== 'unknown' && { error: mishap.error }),
    };
  }
}

/** More instances without tags are not read: nothing is concluded of such a list. */
const mostReadById = 20;

type Unknown = { kind: 'unknown'; reason: string; error?: OnboardingError };

/** `isFiltered`: all that was listed was asked for. */
type Walk = { kind: 'walked'; ids: Set<number>; instances: ElementInstance[]; isFiltered: boolean };

/** `none`: it has the tag, but is another's, or gone. `unasked`: it has not, so the filter does not hold. */
type Match = { kind: 'none' | 'unasked' } | { kind: 'match'; instance: ElementInstance } | Unknown;

const isSameSet = (a: Set<number>, b: Set<number>): boolean =>
  a.size === b.size && [...a].every((id) => b.has(id));

/** An item of another element may be in any form. */
function readItem(item: unknown, { elementKey }: Sought): Shown | 'of another element' | undefined {
  const listed = shownSchema.safeParse(item).data;
  if (listed) return listed;
  const stranger = elementOnlySchema.safeParse(item).data;
  return stranger && stranger.element.key !== elementKey ? 'of another element' : undefined;
}

/** Could this instance, which shows no tags, be the row's? Its name is sent and stored as it is, without markup. */
function isCandidate(
  { element, name, createdDate }: Shown,
  { elementKey, name: sent, createdAt }: Sought,
): boolean {
  if (element.key !== elementKey || (name !== undefined && name !== sent)) return false;
  const createdMs = Date.parse(createdDate ?? '');
  // Cloud Elements tells whole seconds, by its own clock.
  return Number.isNaN(createdMs) || createdMs + 1_000 > createdAt - clockSkewMs;
}

function outcomeOf(shown: Shown | 'absent' | Unknown, owned: Owned): ReadOutcome {
  if (shown === 'absent') return { kind: 'absent' };
  if ('reason' in shown) return shown;
  const { id: instanceId, element, token, createdDate, valid, disabled } = shown;
  const facts = { instanceId, elementKey: element.key, token, createdDate, valid, disabled };
  return { kind: 'read', owned: ownershipOf(markedOf(shown), owned), ...facts };
}

/** For the page itself, not for who asks or how often. */
const isPageRefused = (reply: Reply): boolean =>
  reply.kind === 'answer' &&
  reply.status >= 400 &&
  reply.status < 500 &&
  ![401, 408, 429].includes(reply.status) &&
  reply.refusal !== undefined;

/** An entry that the catalog allows beside the tenant's credentials is none itself. */
function relayingOf(elementKey: string, configuration: Configuration = {}): Relaying {
  const allowed = allowedKeys(elementKey);
  return {
    names: [elementKey, ...requiredKeys(elementKey), ...allowed],
    secrets: Object.entries(configuration)
      .filter(([name]) => !allowed.includes(name))
      .map(([, value]) => value),
  };
}

function listRequest(tag: string, nextPage: string | undefined, sought?: Sought): Request {
  return {
    method: 'GET',
    path: '/instances',
    query: { 'tags[]': tag, ...(nextPage !== undefined && { nextPage }) },
    ...(sought && { about: subjectOf(sought) }),
  };
}

const subjectOf = ({ tenantId, elementKey, provisionId }: Sought) => ({ tenantId, elementKey, provisionId });

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

const markedOf = (shown: Shown) => ({ elementKey: shown.element.key, tags: tagsOf(shown) });

const hasTag = (shown: Shown, tag: string): boolean => tagsOf(shown).includes(tag);

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
  if (!isRefusal)
    return { kind: 'unknown', reason: describe(reply), requestId, said: reply.refusal?.message };
  if (!reply.refusal) {
    const error = new OnboardingError(
      'cloud-elements-unreadable',
      `Something in front of Cloud Elements refused to ${what} (${describe(reply)}). Check the stack's base URL.`,
      { requestId },
    );
    return { kind: 'refused', error };
  }
  const error = new OnboardingError(
    'refused-by-cloud-elements',
    `${refusalIn(reply, what)} Correct the request or the tenant's secret and ask again.`,
    { requestId },
  );
  return { kind: 'refused', error };
}

function refusalIn({ status, refusal }: Answer, what: string): string {
  const said = refusal?.message ? `: ${refusal.message}` : '';
  return `Cloud Elements refused to ${what} (${status})${said}.`;
}

/** No caller waits longer, and a number with more digits could be a credential. */
const maxRetryAfterMs = 24 * 60 * 60 * 1_000;

/** RFC 9110: seconds or a date. */
function retryAfterOf(value: string | undefined, nowMs: number): number {
  if (value === undefined) return 0;
  const delayMs = /^\d+$/.test(value) ? Number(value) * 1_000 : Date.parse(value) - nowMs;
  return delayMs > 0 ? Math.min(delayMs, maxRetryAfterMs) : 0;
}
