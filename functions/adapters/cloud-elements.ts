import * as z from 'zod/mini';
import { allowedKeys, requiredKeys, type Catalog } from '../model/catalog.ts';
import type {
  CloudElements,
  CreateOutcome,
  ElementInstance,
  ListWalk,
  LookUp,
  Failure,
  ReadOutcome,
  Sought,
  UnusableInstance,
} from '../core/ports.ts';
import type { Owned } from '../model/markers.ts';
import { OnboardingError } from '../model/errors.ts';
import type { Configuration } from '../model/instance.ts';
import { loggableId, type InstanceId } from '../model/instance-id.ts';
import {
  generationIn,
  isMarker,
  ownerTag,
  namesAnother,
  ownershipOf,
  provisionTag,
} from '../model/markers.ts';
import { clockSkewMs } from '../model/timing.ts';
import {
  describe,
  isAbsent,
  isSuccess,
  isTooLarge,
  isUnauthorized,
  successOf,
  type HttpResponse,
  type CallCloudElements,
  type CallResult,
  type Request,
} from './cloud-elements-http.ts';
import type { Relaying } from './relay.ts';

/** Opaque, but it travels in a header whose parts are separated by commas; U+FFFD stands for what could not be read. */
const tokenPattern = /^[^\s,\p{Cc}\p{Cs}\uFFFD]+$/u;

/** AWS: KMS encrypts no longer plaintext. */
const maxTokenBytes = 4_096;

/** Text with an integer in it is the number, as far as numbers go. Other text is no more than a part of a path. */
const instanceIdSchema = z.union([
  z.int(),
  z.pipe(
    z.string().check(z.regex(/^[\w-]{1,64}$/)),
    z.transform((id: string): InstanceId => {
      const number = Number(id);
      return Number.isSafeInteger(number) && String(number) === id ? number : id;
    }),
  ),
]);

/** Only to choose the oldest by: a value that is no text counts as absent. */
const createdDateSchema = z.catch(z.optional(z.string()), undefined);

/** An empty one counts as not given, like one of another type. */
const tokenSchema = z.string().check(z.minLength(1));

/** Of some thirty fields only these two are always there. */
const createdSchema = z.object({
  id: instanceIdSchema,
  token: tokenSchema,
  createdDate: createdDateSchema,
});

/** Some views leave the tags or the token out, and tags were objects once. */
const shownSchema = z.object({
  id: instanceIdSchema,
  element: z.object({ key: z.string() }),
  token: z.catch(z.optional(tokenSchema), undefined),
  name: z.catch(z.optional(z.string()), undefined),
  tags: z.nullish(z.array(z.union([z.string(), z.object({ name: z.string() })]))),
  createdDate: createdDateSchema,
  /** Absent in older answers. */
  valid: z.catch(z.boolean(), true),
  disabled: z.catch(z.boolean(), false),
});
/** `fault`: why it cannot be kept; then it shows no token. */
type Shown = z.infer<typeof shownSchema> & { fault?: string | undefined };

/** Read by its id. `repeatsSecret`: its name or a tag has a credential in it, which must not be stored. */
type ShownById = Shown & { repeatsSecret: boolean };

const updatedSchema = z.object({
  id: z.union([z.number(), z.string()]),
  // In a form that cannot be read they say nothing.
  tags: z.catch(z.nullish(z.array(z.union([z.string(), z.object({ name: z.string() })]))), undefined),
});

const elementOnlySchema = z.object({ element: z.object({ key: z.string() }) });

/** Client of Cloud Elements' `/instances`: its quirks end here. */
export function createCloudElements({
  call,
  catalog,
  now = Date.now,
}: {
  call: CallCloudElements;
  catalog: Catalog;
  now?: () => number;
}): CloudElements {
  return {
    async create({ tenantId, elementKey, name, tags, configuration, options }, { timeoutMs }) {
      const result = await call(
        {
          method: 'POST',
          path: '/instances',
          body: { element: { key: elementKey }, name, tags, configuration, ...options },
          relaying: relayingOf(catalog, elementKey, configuration),
          about: { tenantId, elementKey, provisionId: generationIn({ elementKey, tags }) },
        },
        { timeoutMs },
      );
      const made = successOf(result, createdSchema);
      if (made && result.kind === 'response') return outcomeOfCreate(made, result);
      return failureOf(result, `make the ${elementKey} instance of tenant ${tenantId}`, now());
    },

    async update({ tenantId, elementKey, instanceId }, changes, { timeoutMs }) {
      const result = await call(
        {
          method: 'PATCH',
          path: `/instances/${instanceId}`,
          body: changes,
          relaying: relayingOf(catalog, elementKey, changes.configuration),
          about: { tenantId, elementKey, instanceId },
        },
        { timeoutMs },
      );
      // Anything but the instance, a proxy's "accepted" for one, leaves open whether it has taken effect.
      const updated = successOf(result, updatedSchema);
      if (String(updated?.id) === String(instanceId)) {
        // Markup is taken out of tags; markers have none. Tags that are not shown say nothing.
        const missing = updated?.tags
          ? changes.tags?.filter(isMarker).find((tag) => !hasTag(updated, tag))
          : undefined;
        if (missing === undefined) return { kind: 'updated' };
        return { kind: 'unknown', reason: `the response does not show the tag ${missing}` };
      }
      if (isAbsent(result)) return { kind: 'absent' };
      return failureOf(result, `change the ${elementKey} instance of tenant ${tenantId}`, now());
    },

    async read(instance, { timeoutMs }) {
      return outcomeOf(await readById(instance.instanceId, now() + timeoutMs), instance);
    },

    async lookUp(sought, { timeoutMs }) {
      const deadlineAt = now() + timeoutMs;
      const search = await searchAll(sought, deadlineAt);
      const { instanceId } = sought;
      if (search.kind === 'unknown' || instanceId === undefined) return search;
      const isListed = [...search.instances, ...(search.unusable ?? [])].some(({ id }) => id === instanceId);
      if (isListed) return search;
      // The row knows it by its id, so that it is not listed yet proves nothing.
      const shown = await readById(instanceId, deadlineAt);
      const recorded = outcomeOf(shown, sought);
      if (recorded.kind === 'unknown') {
        return { kind: 'unknown', reason: `instance ${instanceId} cannot be read (${recorded.reason})` };
      }
      if (recorded.kind === 'absent' || recorded.owned === 'not-ours') return search;
      const { owned, token, createdDate } = recorded;
      if (owned === 'unmarked') return { kind: 'unknown', reason: `instance ${instanceId} shows no markers` };
      const unusable = unusableOf(shown);
      if (unusable) return { ...search, unusable: [...(search.unusable ?? []), unusable] };
      if (!token) return { kind: 'unknown', reason: `instance ${instanceId} shows no token` };
      return { ...search, instances: [...search.instances, { id: instanceId, token, createdDate }] };
    },

    async list({ owner, page, walk = newWalk() }, { timeoutMs }) {
      const deadlineAt = now() + timeoutMs;
      let { pageSize } = walk;
      for (;;) {
        const request = listRequest(owner === undefined ? undefined : ownerTag(owner), { page, pageSize });
        const result = await call(request, { timeoutMs: deadlineAt - now() });
        if (isAbsent(result) && (page === undefined || mayEnd(walk))) {
          return { kind: 'listed', instances: [], nextPage: undefined };
        }
        const smaller = isTooLarge(result) ? smallerThan(pageSize) : undefined;
        // Page tokens may count pages, so that one of larger pages leads elsewhere.
        if (smaller !== undefined && page !== undefined) {
          return { kind: 'refused', walk: newWalk(smaller) };
        }
        if (smaller !== undefined) {
          pageSize = smaller;
          continue;
        }
        if (page !== undefined && isPageRefused(result)) return { kind: 'refused', walk: newWalk(pageSize) };
        const items = successOf(result, z.array(z.unknown()));
        if (!items) return { kind: 'unknown', reason: describe(result) };
        // One that is not in this form cannot be compared with anything.
        const shown = items.flatMap((item) => shownIn(item, result) ?? []);
        const instances = shown.map(
          ({ id, element, name, token, createdDate, valid, disabled, ...item }) => ({
            id,
            elementKey: element.key,
            name,
            tags: tagsOf(item),
            token,
            createdDate,
            valid,
            disabled,
          }),
        );
        return {
          kind: 'listed',
          instances,
          unreadable: items.length - shown.length,
          nextPage: nextPageOf(result),
          walk: stepOf({ ...walk, pageSize }, items, result),
        };
      }
    },

    async remove({ tenantId, elementKey, instanceId }, { timeoutMs }) {
      const result = await call(
        {
          method: 'DELETE',
          path: `/instances/${instanceId}`,
          relaying: relayingOf(catalog, elementKey),
          about: { tenantId, elementKey, instanceId: loggableId(instanceId) },
        },
        { timeoutMs },
      );
      const what = `remove instance ${loggableId(instanceId)} (${elementKey}) of tenant ${tenantId}`;
      const failure = failureOf(result, what, now());
      // Unlike a create, of which 409 says nothing certain: the platform keeps an instance that is in use.
      const keepsIt = result.kind === 'response' && result.status === 409 && result.refusal !== undefined;
      const isRefused = failure.kind === 'refused' && failure.error.code === 'refused-by-cloud-elements';
      if (result.kind === 'response' && !isAbsent(result) && (keepsIt || isRefused)) {
        const { requestId } = result;
        const error = new OnboardingError('deletion-refused', refusalIn(result, what), { requestId });
        return { kind: 'refused', error };
      }
      if (isAbsent(result) || isDeletion(result)) return { kind: 'removed' };
      return isSuccess(result) ? { kind: 'unknown', reason: describe(result) } : failure;
    },
  };

  /**
   * Walks through the whole list. Where the filter was seen not to hold, an empty result counts only if two walks in a
   * row have listed the same instances: a list shifts while it is walked through.
   */
  async function searchAll(sought: Sought, deadlineAt: number): Promise<LookUp> {
    let before: Walk | undefined;
    let pageSize: number | undefined;
    for (;;) {
      const walk = await walkThrough(sought, pageSize, deadlineAt);
      if (walk.kind === 'unknown') return walk;
      if (walk.kind === 'too-large') {
        ({ pageSize } = walk);
        continue;
      }
      const { instances, unusable, isFiltered } = walk;
      const isSomething = instances.length > 0 || unusable.length > 0;
      if (isFiltered || isSomething || (before && isSameSet(before.ids, walk.ids))) {
        return {
          kind: 'found',
          instances,
          ...(unusable.length > 0 && { unusable }),
          isCertain: isFiltered,
        };
      }
      if (now() >= deadlineAt) return { kind: 'unknown', reason: 'the list changed while it was read' };
      before = walk;
    }
  }

  async function walkThrough(
    sought: Sought,
    pageSize: number | undefined,
    deadlineAt: number,
  ): Promise<Walk | Unknown | { kind: 'too-large'; pageSize: number }> {
    const walk: Walk = { kind: 'walked', ids: new Set(), instances: [], unusable: [], isFiltered: true };
    let steps = newWalk(pageSize);
    const tag = provisionTag(sought);
    const pagesSeen = new Set<string>();
    let untagged = 0;
    let nextPage: string | undefined;
    for (;;) {
      const request = listRequest(tag, { page: nextPage, pageSize }, sought);
      const result = await call(request, { timeoutMs: deadlineAt - now() });
      if (isAbsent(result) && (nextPage === undefined || mayEnd(steps))) {
        // That a page is lost would look the same, unless Cloud Elements says how many items there are.
        if (nextPage !== undefined && steps.total === undefined) walk.isFiltered = false;
        return walk;
      }
      const smaller = isTooLarge(result) ? smallerThan(pageSize) : undefined;
      if (smaller !== undefined) return { kind: 'too-large', pageSize: smaller };
      const page = successOf(result, z.array(z.unknown()));
      if (!page) return { kind: 'unknown', reason: describe(result) };
      steps = stepOf(steps, page, result);
      for (const item of page) {
        const listed = readItem(item, sought, result);
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
        if (match.kind === 'unrequested') walk.isFiltered = false;
        if (match.kind === 'match') walk.instances.push(match.instance);
        if (match.kind === 'unusable') walk.unusable.push(match.instance);
      }
      nextPage = nextPageOf(result);
      if (nextPage === undefined) return walk;
      if (pagesSeen.has(nextPage)) return { kind: 'unknown', reason: 'the list repeats a page' };
      pagesSeen.add(nextPage);
    }
  }

  /** The server's filters are coarse, so all markers are compared here; what shows no tags is read by its id. */
  async function matching(listed: Shown, sought: Sought, deadlineAt: number): Promise<Match> {
    const tag = provisionTag(sought);
    const id = loggableId(listed.id);
    const isUntagged = !listed.tags?.length;
    if (isUntagged ? !isCandidate(listed, sought) : !hasTag(listed, tag)) return { kind: 'unrequested' };
    const isWhole = !isUntagged && (listed.token !== undefined || typeof listed.id !== 'number');
    const shown = isWhole ? listed : await readById(listed.id, deadlineAt);
    if (shown === 'absent') return { kind: 'none' };
    if ('reason' in shown) return { kind: 'unknown', reason: `instance ${id} cannot be read` };
    if (!shown.tags?.length) return { kind: 'unknown', reason: `instance ${id} shows no tags` };
    if (!hasTag(shown, tag)) return { kind: 'unrequested' };
    if (namesAnother(markedOf(shown), sought)) return { kind: 'none' };
    if (ownershipOf(markedOf(shown), sought) !== 'ours') {
      const reason = `instance ${id} has our tag, but not tenant, owner and element`;
      return { kind: 'unknown', reason };
    }
    const unusable = unusableOf(shown);
    if (unusable) return { kind: 'unusable', instance: unusable };
    const { token, createdDate } = shown;
    if (!token || typeof shown.id !== 'number') {
      return { kind: 'unknown', reason: `instance ${id} shows no token` };
    }
    return { kind: 'match', instance: { id: shown.id, token, createdDate } };
  }

  async function readById(
    instanceId: InstanceId,
    deadlineAt: number,
  ): Promise<ShownById | 'absent' | Unknown> {
    const result = await call(
      { method: 'GET', path: `/instances/${instanceId}`, about: { instanceId: loggableId(instanceId) } },
      { timeoutMs: deadlineAt - now() },
    );
    if (isAbsent(result)) return 'absent';
    const shown = isSuccess(result) ? shownIn(result.json, result) : undefined;
    // Another instance than the requested one is no response.
    if (shown?.id === instanceId && isSuccess(result)) {
      return { ...shown, repeatsSecret: nameAndTagsRepeat(shown, result) };
    }
    const failure = failureOf(result, `show instance ${loggableId(instanceId)}`, now());
    return {
      kind: 'unknown',
      reason: describe(result),
      ...(failure.kind !== 'unknown' && { error: failure.error }),
    };
  }
}

/** More instances without tags are not read: nothing is concluded of such a list. */
const mostReadById = 20;

type Unknown = { kind: 'unknown'; reason: string; error?: OnboardingError };

/** `isFiltered`: everything listed was requested. */
type Walk = {
  kind: 'walked';
  ids: Set<InstanceId>;
  instances: ElementInstance[];
  unusable: UnusableInstance[];
  isFiltered: boolean;
};

/** `none`: it has the tag, but is another's, or gone. `unrequested`: it has not, so the filter does not hold. */
type Match =
  | { kind: 'none' | 'unrequested' }
  | { kind: 'match'; instance: ElementInstance }
  | { kind: 'unusable'; instance: UnusableInstance }
  | Unknown;

const isSameSet = (a: Set<InstanceId>, b: Set<InstanceId>): boolean =>
  a.size === b.size && [...a].every((id) => b.has(id));

function shownIn(item: unknown, result: CallResult): Shown | undefined {
  const shown = shownSchema.safeParse(item).data;
  if (!shown || result.kind !== 'response') return undefined;
  const fault = faultOf(shown, result);
  return fault === undefined ? shown : { ...shown, token: undefined, fault };
}

/** Why an instance cannot be kept: reads on from "an instance …". */
function faultOf(
  { id, token }: { id: InstanceId; token?: string | undefined },
  { repeatsSecret }: HttpResponse,
): string | undefined {
  if (typeof id !== 'number') return 'with an id that is no integer below 2^53';
  if (token === undefined) return undefined;
  if (!tokenPattern.test(token)) return 'with a token that no Authorization header can carry';
  if (Buffer.byteLength(token) > maxTokenBytes) return 'with a token of more than 4,096 bytes';
  return repeatsSecret(token) ? 'with a token that repeats a credential' : undefined;
}

function outcomeOfCreate(made: z.infer<typeof createdSchema>, result: HttpResponse): CreateOutcome {
  const { id, token, createdDate } = made;
  if (result.repeatsSecret(String(id))) {
    const reason = 'with an id that repeats a credential';
    return { kind: 'unusable', instance: { id: undefined, reason } };
  }
  const reason = faultOf(made, result);
  if (reason === undefined && typeof id === 'number') {
    return { kind: 'created', instance: { id, token, createdDate } };
  }
  return { kind: 'unusable', instance: { id, reason: reason ?? 'that cannot be read' } };
}

const unusableOf = (shown: Shown | 'absent' | Unknown): UnusableInstance | undefined =>
  shown !== 'absent' && 'fault' in shown && shown.fault !== undefined
    ? { id: shown.id, reason: shown.fault }
    : undefined;

/** Asked for in turn where a page is too large; the first is what Cloud Elements shows by itself. */
const pageSizes = [200, 50, 10];

const smallerThan = (pageSize: number = maxPageSize): number | undefined =>
  pageSizes.find((size) => size < pageSize);

const maxPageSize = 200;

const newWalk = (pageSize?: number): ListWalk => ({ seen: 0, total: undefined, isFull: false, pageSize });

function stepOf(walk: ListWalk, page: readonly unknown[], result: CallResult): ListWalk {
  const count = (result.kind === 'response' && result.header('elements-total-count')) || '';
  return {
    ...walk,
    seen: walk.seen + page.length,
    total: /^\d{1,9}$/.test(count) ? Number(count) : undefined,
    isFull: page.length >= (walk.pageSize ?? maxPageSize),
  };
}

/** A page token on the last page, which was full, leads to a 404. Anywhere else a 404 is a page that was lost. */
const mayEnd = ({ seen, total, isFull }: ListWalk): boolean => (total === undefined ? isFull : seen >= total);

/** An item of another element may be in any form. */
function readItem(
  item: unknown,
  { elementKey }: Sought,
  result: CallResult,
): Shown | 'of another element' | undefined {
  const listed = shownIn(item, result);
  if (listed) return listed;
  const stranger = elementOnlySchema.safeParse(item).data;
  return stranger && stranger.element.key !== elementKey ? 'of another element' : undefined;
}

/** The same letters may be one character or two. */
const isSameName = (a: string, b: string): boolean => a.normalize('NFC') === b.normalize('NFC');

/** Could this instance, which shows no tags, be the row's? Its name is sent and stored as it is, without markup. */
function isCandidate(
  { element, name, createdDate }: Shown,
  { elementKey, name: sent, createdAt }: Sought,
): boolean {
  if (element.key !== elementKey || (name !== undefined && !isSameName(name, sent))) return false;
  const createdMs = Date.parse(createdDate ?? '');
  // Cloud Elements gives whole seconds, by its own clock.
  return Number.isNaN(createdMs) || createdMs + 1_000 > createdAt - clockSkewMs;
}

function nameAndTagsRepeat(shown: Shown, { repeatsSecret }: HttpResponse): boolean {
  const texts = [shown.name ?? '', ...tagsOf(shown)];
  const { token } = shown;
  return texts.some((text) => repeatsSecret(text) || (token !== undefined && text.includes(token)));
}

function outcomeOf(shown: ShownById | 'absent' | Unknown, owned: Owned): ReadOutcome {
  if (shown === 'absent') return { kind: 'absent' };
  if ('reason' in shown) return shown;
  const { id: instanceId, element, token, createdDate, valid, disabled } = shown;
  if (typeof instanceId !== 'number') return { kind: 'unknown', reason: 'another instance was shown' };
  const { name, tags, repeatsSecret } = shown;
  const facts = {
    instanceId,
    elementKey: element.key,
    token,
    createdDate,
    valid,
    disabled,
    name,
    tags: tags ? tagsOf(shown) : undefined,
    fault: shown.fault ?? (repeatsSecret ? 'whose name or tags repeat a credential' : undefined),
  };
  return { kind: 'read', owned: ownershipOf(markedOf(shown), owned), ...facts };
}

/** For the page itself, not for the caller or the rate. */
const isPageRefused = (result: CallResult): boolean =>
  result.kind === 'response' &&
  result.status >= 400 &&
  result.status < 500 &&
  ![401, 408, 429].includes(result.status) &&
  result.refusal !== undefined;

/** The platform answers a deletion with 200 or 204, and with no page: a proxy's "accepted" is no deletion. */
const isDeletion = (result: CallResult): boolean =>
  isSuccess(result) && (result.status === 200 || result.status === 204) && !result.isPage;

/** An entry that the catalog allows beside the tenant's credentials is none itself. */
function relayingOf(catalog: Catalog, elementKey: string, configuration: Configuration = {}): Relaying {
  const allowed = allowedKeys(catalog, elementKey);
  return {
    names: [elementKey, ...requiredKeys(catalog, elementKey), ...allowed],
    secrets: Object.entries(configuration)
      .filter(([name]) => !allowed.includes(name))
      .map(([, value]) => value),
  };
}

function listRequest(
  tag: string | undefined,
  { page, pageSize }: { page: string | undefined; pageSize: number | undefined },
  sought?: Sought,
): Request {
  return {
    method: 'GET',
    path: '/instances',
    query: {
      ...(tag !== undefined && { 'tags[]': tag }),
      ...(pageSize !== undefined && { pageSize: String(pageSize) }),
      ...(page !== undefined && { nextPage: page }),
    },
    ...(sought && { about: subjectOf(sought) }),
  };
}

const subjectOf = ({ tenantId, elementKey, provisionId }: Sought) => ({ tenantId, elementKey, provisionId });

/** Absent and empty both mean that this was the last. */
function nextPageOf(result: CallResult): string | undefined {
  return (result.kind === 'response' && result.header('elements-next-page-token')) || undefined;
}

function tagsOf({ tags }: Pick<Shown, 'tags'>): string[] {
  return tags?.map((tag) => (typeof tag === 'string' ? tag : tag.name)) ?? [];
}

const markedOf = (shown: Shown) => ({ elementKey: shown.element.key, tags: tagsOf(shown) });

const hasTag = (shown: Pick<Shown, 'tags'>, tag: string): boolean => tagsOf(shown).includes(tag);

/** @param what the attempted action: "make the … instance of tenant …" */
function failureOf(result: CallResult, what: string, nowMs: number): Failure {
  if (result.kind === 'no-credentials') return { kind: 'not-done', error: result.error };
  if (result.kind === 'broken') {
    if (result.sent) return { kind: 'unknown', reason: result.reason };
    const error = new OnboardingError(
      'cloud-elements-unreachable',
      `Cloud Elements could not be reached to ${what} (${result.reason}). Nothing was sent; retry.`,
    );
    return { kind: 'not-done', error, retryAfterMs: 0 };
  }
  const { status, requestId } = result;
  if (status === 429 && result.isTooLarge) return { kind: 'unknown', reason: describe(result), requestId };
  if (status === 429) {
    const retryAfterMs = retryAfterOf(result.header('retry-after'), nowMs);
    const error = new OnboardingError(
      'cloud-elements-busy',
      `Cloud Elements is rate limiting requests (429) and did not ${what}.`,
      { requestId, retryAfterMs },
    );
    return { kind: 'not-done', error, retryAfterMs };
  }
  if (isUnauthorized(result)) {
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
    return { kind: 'unknown', reason: describe(result), requestId, said: result.refusal?.message };
  if (!result.refusal) {
    const error = new OnboardingError(
      'cloud-elements-unreadable',
      `Something in front of Cloud Elements refused to ${what} (${describe(result)}). Check the stack's base URL.`,
      { requestId },
    );
    return { kind: 'refused', error };
  }
  const error = new OnboardingError(
    'refused-by-cloud-elements',
    `${refusalIn(result, what)} Correct the request or the tenant's secret and retry.`,
    { requestId },
  );
  return { kind: 'refused', error };
}

function refusalIn({ status, refusal }: HttpResponse, what: string): string {
  const said = refusal?.message ? `: ${refusal.message}` : '';
  return `Cloud Elements refused to ${what} (${status})${said}.`;
}

/** No caller waits longer, and a number with more digits could be a credential. */
const maxRetryAfterMs = 60 * 60 * 1_000;

const httpDatePattern = /^(Mon|Tue|Wed|Thu|Fri|Sat|Sun)[a-z]*,? [\w: -]+$/;

/**
 * RFC 9110: seconds or a date. Anything else counts as absent, although `Date.parse` would read a date from much of it.
 */
function retryAfterOf(value: string | undefined, nowMs: number): number {
  if (value === undefined) return 0;
  const delayMs = /^\d+$/.test(value)
    ? Number(value) * 1_000
    : httpDatePattern.test(value) && Date.parse(value) - nowMs;
  return delayMs && delayMs > 0 ? Math.min(delayMs, maxRetryAfterMs) : 0;
}
