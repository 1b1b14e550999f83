import * as z from 'zod/mini';
import { jsonResponse, emptyResponse, refuse, refuseInput, type SimulatedResponse } from './responses.ts';
import { elements, type ElementDefinition } from './catalog.ts';
import { pageResponse } from './pages.ts';
import { mask, showInstance, stringified, type Instance } from './shown.ts';

/** The simulated platform's operations on instances. */

const changesSchema = z.object({
  name: z.optional(z.string().check(z.minLength(1))),
  tags: z.optional(z.array(z.string())),
  /** A value may be an object or a list. */
  configuration: z.optional(z.record(z.string(), z.unknown())),
  eventsEnabled: z.optional(z.boolean()),
  cachingEnabled: z.optional(z.boolean()),
});

// Undocumented: whether the name is optional. Required here, so that no client relies on the opposite.
const newInstanceSchema = z.extend(changesSchema, {
  element: z.object({ key: z.string() }),
  name: z.string().check(z.minLength(1)),
  externalAuthentication: z.optional(z.string()),
  retrieveObjectsAfterInstantiation: z.optional(z.boolean()),
});

/** Settings of new instances and of lists. */
export type Listing = {
  /** An instance is listed only this long after it was created. */
  listLagMs: number;
  listShape: {
    readonly tags?: 'strings' | 'objects' | 'empty' | 'absent';
    readonly token?: 'present' | 'absent';
  };
  /** Lists ignore the filter `tags[]`. */
  ignoreTagFilter: boolean;
  /** A full last page has a page token, too, which leads to a 404. */
  tokenOnFullPage: boolean;
  /** The token of the next instance. */
  newToken: () => string;
};

/** An entry with this value is a key that the vendor behind the element refuses. */
export const refusedKey = 'refused';

/** A request for an operation that is not about one instance. */
type Call = { readonly body: unknown; readonly query: URLSearchParams; readonly userId: number };

/** Operations on `instances`, which they change in place. `listing` is read again for each list. */
export function createInstances({
  instances,
  listing,
  now,
}: {
  instances: Instance[];
  listing: Listing;
  now: () => number;
}) {
  let lastId = 1_000_000;

  // Names and tags need not be unique, and there is no idempotency key: each create makes another instance.
  function create({ body, userId }: Call): SimulatedResponse {
    const parsed = newInstanceSchema.safeParse(body);
    if (!parsed.success) return refuseInput(parsed.error);
    const { tags, configuration = {}, retrieveObjectsAfterInstantiation: showsObjects } = parsed.data;
    const { eventsEnabled = false, cachingEnabled = false, externalAuthentication = 'none' } = parsed.data;
    const element = elements.find(({ key }) => key === parsed.data.element.key);
    if (!element) return refuseElement(parsed.data.element.key);
    const refusal = refusalOf(configuration, element);
    if (refusal) return refusal;

    const createdAtMs = now();
    const name = withoutMarkup(parsed.data.name);
    const instance: Instance = {
      id: ++lastId,
      token: listing.newToken(),
      element,
      userId,
      createdAtMs,
      createdDate: new Date(createdAtMs).toISOString().replace(/\.\d+Z$/, 'Z'),
      name,
      // Without tags the name becomes the only tag.
      tags: tags?.map(withoutMarkup) ?? [name],
      configuration,
      valid: true,
      disabled: false,
      eventsEnabled,
      cachingEnabled,
      externalAuthentication,
    };
    instances.push(instance);
    const objects = [{ name: 'accounts', vendorName: 'Account', type: 'vendor' }];
    return jsonResponse({ ...showInstance(instance, { isNew: true }), ...(showsObjects && { objects }) });
  }

  // A user sees only their own instances. Several tags must all match (the documentation says neither "and" nor "or").
  function list({ query, userId }: Call): SimulatedResponse {
    const tags = listing.ignoreTagFilter ? [] : query.getAll('tags[]');
    const searchText = query.get('searchText') ?? '';
    const isListed = listedFor(userId);
    // Tags first: they leave few of very many.
    const matching = instances.filter(
      (instance) =>
        tags.every((tag) => instance.tags.includes(tag)) &&
        isListed(instance) &&
        (instance.name.includes(searchText) || instance.element.key.includes(searchText)),
    );
    return listResponse(matching, query, query.get('hydrate') !== 'false');
  }

  function listOfElement(element: ElementDefinition, { query, userId }: Call): SimulatedResponse {
    const isListed = listedFor(userId);
    const matching = instances.filter((instance) => instance.element === element && isListed(instance));
    return listResponse(matching, query, true);
  }

  function listResponse(
    items: readonly Instance[],
    query: URLSearchParams,
    hydrated: boolean,
  ): SimulatedResponse {
    const show = (instance: Instance) => showListed(instance, hydrated);
    return pageResponse({
      items,
      query,
      show,
      none: 'No element instances found',
      hasTokenOnFullPage: listing.tokenOnFullPage,
    });
  }

  function listedFor(userId: number): (instance: Instance) => boolean {
    const newestMs = now() - listing.listLagMs;
    return (instance) => instance.userId === userId && instance.createdAtMs <= newestMs;
  }

  function showListed(instance: Instance, hydrated: boolean): object {
    const { token, tags, ...full } = showInstance(instance);
    const { id, name, element } = full;
    const { tags: tagsAs = 'strings', token: tokenAs = 'present' } = listing.listShape;
    return {
      // The light form is known to have few more fields than these.
      ...(hydrated ? full : { id, name, element: { id: element.id, key: element.key } }),
      ...(tokenAs === 'present' && { token }),
      ...(tagsAs === 'strings' && { tags }),
      ...(tagsAs === 'empty' && { tags: [] }),
      ...(tagsAs === 'objects' && { tags: tags.map((tag, index) => ({ id: index + 1, name: tag })) }),
    };
  }

  function remove(instance: Instance): SimulatedResponse {
    instances.splice(instances.indexOf(instance), 1);
    return emptyResponse();
  }

  // An element's resources, the ping among them, are closed while the instance is disabled.
  function ping({ id, element, valid, disabled, configuration }: Instance): SimulatedResponse {
    if (disabled) return refuse(403, 'The element instance is disabled');
    if (element.ping === 'absent') return refuse(404, 'Not found');
    // The create does not ask the vendor.
    if (Object.values(configuration).includes(refusedKey)) {
      return refuse(401, 'Request failed', 'The key is not valid');
    }
    const dateTime = new Date(now()).toISOString();
    const pong = { dateTime, endpoint: element.key, ...(element.ping === 'validity' && { valid }) };
    return jsonResponse(pong, { 'elements-element-instance-id': `${id}` });
  }

  return { create, list, listOfElement, remove, ping };
}

/**
 * Changes an instance: tags are replaced, the token stays, and the configuration sent is merged into `kept`.
 */
export function changeInstance(
  instance: Instance,
  body: unknown,
  kept: Instance['configuration'],
): SimulatedResponse {
  const parsed = changesSchema.safeParse(body);
  if (!parsed.success) return refuseInput(parsed.error);
  const { name, tags, configuration, eventsEnabled, cachingEnabled } = parsed.data;
  if (configuration) {
    const changed = { ...kept };
    for (const [key, value] of Object.entries(configuration)) {
      // A masked value that is sent back does not replace the real value or a default.
      if (value !== mask) changed[key] = value;
      else if (Object.hasOwn(instance.configuration, key)) changed[key] = instance.configuration[key];
    }
    // Assumption: the platform verifies changed credentials with the vendor again.
    const refusal = refusalOf(changed, instance.element);
    if (refusal) return refusal;
    instance.configuration = changed;
  }
  if (name !== undefined) instance.name = withoutMarkup(name);
  if (tags) instance.tags = tags.map(withoutMarkup);
  instance.eventsEnabled = eventsEnabled ?? instance.eventsEnabled;
  instance.cachingEnabled = cachingEnabled ?? instance.cachingEnabled;
  return jsonResponse(showInstance(instance));
}

export function refuseElement(keyOrId: string): SimulatedResponse {
  return refuse(404, `No element found with key ${keyOrId}`);
}

function refusalOf(
  configuration: Instance['configuration'],
  { entries }: ElementDefinition,
): SimulatedResponse | undefined {
  const missing = entries
    .filter(({ key, required }) => required && (configuration[key] ?? '') === '')
    .map(({ key }) => key)
    .join(', ');
  // Status and message are undocumented; these follow the most similar message seen.
  if (missing)
    return refuse(400, `You must provide ${missing} in order to create an instance of this element`);

  // For tests: the vendor refuses a value that begins with refused-, with 401 if with refused-401.
  const refused = Object.values(configuration)
    .map(stringified)
    .find((value) => value?.startsWith('refused-'));
  if (!refused) return undefined;
  const providerMessage = '3100 - message=AuthorizationFailed; user=jane.doe@tenant.example';
  return refused.startsWith('refused-401')
    ? refuse(401, 'Unauthorized', providerMessage)
    : refuse(400, 'Bad Request', providerMessage);
}

function withoutMarkup(value: string): string {
  return value.replaceAll(/<[^>]*>/g, '');
}
