import { randomBytes } from 'node:crypto';
import * as z from 'zod/mini';
import { answerJson, answerNothing, refuse, type Answer, type Operation } from './cloud-elements-faults.ts';

/** What the simulated platform keeps, and what each of its operations does to it. */

/** The elements that can be provisioned here: required keys and defaults as their guides print them. */
const elements: readonly ElementDefinition[] = [
  {
    id: 320,
    key: 'taxify',
    name: 'Taxify',
    description: 'Put your monthly tax compliance on autopilot.',
    required: ['api.key'],
    secret: ['api.key', 'partner.key'],
    defaults: {
      'base.url': 'https://ws.taxify.co/taxify/1.0/core/JSONService.asmx',
      'pagination.type': null,
      'event.notification.callback.url': null,
      'pagination.max': '100',
      'event.vendor.type': 'webhook',
      'partner.key': 'TAXIFY_PARTNER_KEY',
      'event.notification.enabled': 'false',
    },
  },
  {
    id: 491,
    key: 'freshdeskv2',
    name: 'Freshdesk V2',
    // Descriptions can hold markup.
    description: 'Add a <b>Freshdesk</b> instance. Its API key goes into the user name.',
    required: ['subdomain', 'username'],
    secret: ['username'],
    defaults: { 'filter.response.nulls': 'true', 'event.notification.enabled': 'false' },
  },
];

type ElementDefinition = {
  readonly id: number;
  readonly key: string;
  readonly name: string;
  readonly description: string;
  readonly required: readonly string[];
  /** Masked when read. */
  readonly secret: readonly string[];
  /** What the platform fills in. */
  readonly defaults: Readonly<Record<string, string | null>>;
};

const maxPageSize = 200;
const mask = '********';
export const invalidSecrets = 'Invalid Organization or User secret, or invalid Element token provided.';

const changesSchema = z.object({
  name: z.optional(z.string().check(z.minLength(1))),
  tags: z.optional(z.array(z.string())),
  configuration: z.optional(z.record(z.string(), z.unknown())),
});

// Whether a name may be missing is documented nowhere: refused here, so that no client leans on it.
const newInstanceSchema = z.extend(changesSchema, {
  element: z.object({ key: z.string() }),
  name: z.string().check(z.minLength(1)),
});

const listQuerySchema = z.object({
  pageSize: z.coerce.number().check(z.int(), z.gte(1)),
  /** Opaque to clients. It holds the last id of the page before, and a plus sign, which is lost if sent unencoded. */
  nextPage: z.string().check(z.regex(/^(after\+\d+)?$/)),
});

/** An instance as the platform keeps it. What is not readonly may be changed by tests, as by the platform's console. */
export type Instance = {
  readonly id: number;
  readonly token: string;
  readonly element: ElementDefinition;
  readonly userId: number;
  readonly createdAtMs: number;
  readonly createdDate: string;
  name: string;
  tags: readonly string[];
  /** As sent; defaults, strings for other values, and masks come in when it is shown. */
  configuration: Readonly<Record<string, unknown>>;
  valid: boolean;
  disabled: boolean;
};

/** What lists show. */
export type Listing = {
  /** An instance is listed only this long after it was created. */
  listLagMs: number;
  listShape: {
    readonly tags?: 'strings' | 'objects' | 'empty' | 'absent';
    readonly token?: 'present' | 'absent';
  };
  /** Lists show what `tags[]` should have kept out. */
  ignoreTagFilter: boolean;
};

/** An authorized request to one of the operations. */
export type Call = {
  readonly body: unknown;
  readonly query: URLSearchParams;
  readonly userId: number;
  readonly id: number | undefined;
  readonly elementToken: string | undefined;
};

/** The operations on `instances`, which they change in place. `listing` is read anew for each list. */
export function createInstanceOperations({
  instances,
  listing,
  now,
}: {
  instances: Instance[];
  listing: Listing;
  now: () => number;
}): Record<Operation, (call: Call) => Answer> {
  let lastId = 1_000_000;

  // Neither names nor tags need be unique, and no key guards against repeats: each create makes one more instance.
  function create({ body, userId }: Call): Answer {
    const parsed = newInstanceSchema.safeParse(body);
    if (!parsed.success) return refuseInput(parsed.error);
    const { tags, configuration = {} } = parsed.data;
    const element = elements.find(({ key }) => key === parsed.data.element.key);
    if (!element) return refuse(404, `No element found with key ${parsed.data.element.key}`);
    const refusal = refusalOf(configuration, element);
    if (refusal) return refusal;

    const createdAtMs = now();
    const name = withoutMarkup(parsed.data.name);
    const instance: Instance = {
      id: ++lastId,
      token: randomBytes(32).toString('base64'),
      element,
      userId,
      createdAtMs,
      createdDate: new Date(createdAtMs).toISOString().replace(/\.\d+Z$/, 'Z'),
      name,
      // Without tags the name becomes the only one.
      tags: tags?.map(withoutMarkup) ?? [name],
      configuration,
      valid: true,
      disabled: false,
    };
    instances.push(instance);
    // The one answer that shows credentials in clear.
    return answerJson(show(instance));
  }

  // A user sees their own instances only. Of several tags all must be there (documented is neither "and" nor "or").
  function list({ query, userId }: Call): Answer {
    const parsed = listQuerySchema.safeParse({
      pageSize: query.get('pageSize') ?? maxPageSize,
      // Empty means the first page, too.
      nextPage: query.get('nextPage') ?? '',
    });
    if (!parsed.success) return refuseInput(parsed.error);
    const { pageSize, nextPage } = parsed.data;
    const tags = listing.ignoreTagFilter ? [] : query.getAll('tags[]');
    const searchText = query.get('searchText') ?? '';

    const matching = instances.filter(
      (instance) =>
        instance.userId === userId &&
        now() - instance.createdAtMs >= listing.listLagMs &&
        tags.every((tag) => instance.tags.includes(tag)) &&
        (instance.name.includes(searchText) || instance.element.key.includes(searchText)),
    );
    const afterId = Number(nextPage.slice('after+'.length));
    const left = matching.filter(({ id }) => id > afterId);
    const page = left.slice(0, Math.min(pageSize, maxPageSize));
    const last = page.at(-1);
    // Nothing to show is a 404, not an empty array.
    if (!last) return refuse(404, 'No element instances found');

    const hydrated = query.get('hydrate') !== 'false';
    return answerJson(
      page.map((instance) => showListed(instance, hydrated)),
      {
        'elements-total-count': `${matching.length}`,
        'elements-returned-count': `${page.length}`,
        ...(page.length < left.length && { 'elements-next-page-token': `after+${last.id}` }),
      },
    );
  }

  function showListed(instance: Instance, hydrated: boolean): object {
    const { token, tags, ...full } = show(instance, mask);
    const { id, name, element } = full;
    const { tags: tagsAs = 'strings', token: tokenAs = 'present' } = listing.listShape;
    return {
      // The light form is known to hold little more than this.
      ...(hydrated ? full : { id, name, element: { id: element.id, key: element.key } }),
      ...(tokenAs === 'present' && { token }),
      ...(tagsAs === 'strings' && { tags }),
      ...(tagsAs === 'empty' && { tags: [] }),
      ...(tagsAs === 'objects' && { tags: tags.map((tag, index) => ({ id: index + 1, name: tag })) }),
    };
  }

  // Tags are replaced, and the token stays what it is. `kept` is the configuration that the one sent is merged into.
  function change(instance: Instance, body: unknown, kept: Instance['configuration']): Answer {
    const parsed = changesSchema.safeParse(body);
    if (!parsed.success) return refuseInput(parsed.error);
    const { name, tags, configuration } = parsed.data;
    if (configuration) {
      const changed = { ...kept };
      for (const [key, value] of Object.entries(configuration)) {
        // A masked value sent back is not stored over the real one.
        changed[key] = value === mask ? instance.configuration[key] : value;
      }
      // That changed credentials are put to the vendor again is assumed.
      const refusal = refusalOf(changed, instance.element);
      if (refusal) return refusal;
      instance.configuration = changed;
    }
    if (name !== undefined) instance.name = withoutMarkup(name);
    if (tags) instance.tags = tags.map(withoutMarkup);
    return answerJson(show(instance, mask));
  }

  function remove(instance: Instance): Answer {
    instances.splice(instances.indexOf(instance), 1);
    return answerNothing();
  }

  function setDisabled(instance: Instance, disabled: boolean): Answer {
    instance.disabled = disabled;
    return answerNothing();
  }

  /** Of the user's instances the one with the id in the path; without an id the one that the element token names. */
  function onInstance(act: (instance: Instance, body: unknown) => Answer): (call: Call) => Answer {
    return ({ body, userId, id, elementToken }) => {
      const own = instances.filter((instance) => instance.userId === userId);
      if (id === undefined) {
        const instance = own.find(({ token }) => token === elementToken);
        return instance ? act(instance, body) : refuse(401, invalidSecrets);
      }
      const instance = own.find((each) => each.id === id);
      return instance ? act(instance, body) : refuse(404, `No element instance found with ID ${id}`);
    };
  }

  const read = onInstance((instance) => answerJson(show(instance, mask)));
  const replace = onInstance((instance, body) => change(instance, body, {}));
  const merge = onInstance((instance, body) => change(instance, body, instance.configuration));
  const enable = onInstance((instance) => setDisabled(instance, false));
  const disable = onInstance((instance) => setDisabled(instance, true));
  return {
    'POST /instances': create,
    'GET /instances': list,
    'GET /instances/{id}': read,
    'PUT /instances/{id}': replace,
    'PATCH /instances/{id}': merge,
    'DELETE /instances/{id}': onInstance(remove),
    'PUT /instances/{id}/enabled': enable,
    'DELETE /instances/{id}/enabled': disable,
    'PUT /instances': replace,
    'PATCH /instances': merge,
    'DELETE /instances': onInstance(remove),
    'PUT /instances/enabled': enable,
    'DELETE /instances/enabled': disable,
  };
}

function refuseInput({ issues }: z.core.$ZodError): Answer {
  const fields = issues.map(({ path }) => path.join('.') || 'body');
  return refuse(400, `Bad Request: ${fields.join(', ')}`);
}

function refusalOf(
  configuration: Instance['configuration'],
  { required, secret }: ElementDefinition,
): Answer | undefined {
  const missing = required.filter((key) => (configuration[key] ?? '') === '').join(', ');
  // Status and words are documented nowhere; these follow the nearest message seen.
  if (missing)
    return refuse(400, `You must provide ${missing} in order to create an instance of this element`);

  // For tests: the vendor refuses a credential that begins with refused-, with 401 if with refused-401.
  const refused = secret
    .map((key) => stringified(configuration[key]))
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

/** The full form: what the Taxify guide prints and what later guides add. With a mask, it stands for each secret. */
function show({ element, userId, configuration, ...instance }: Instance, secretAs?: string) {
  const { id, name, createdDate, token, tags, valid, disabled } = instance;
  const shown: Record<string, string | null> = { ...element.defaults };
  for (const [key, value] of Object.entries(configuration)) shown[key] = stringified(value);
  for (const key of element.secret) {
    if (secretAs !== undefined && shown[key]) shown[key] = secretAs;
  }
  return {
    id,
    name,
    createdDate,
    token,
    element: {
      id: element.id,
      name: element.name,
      key: element.key,
      description: element.description,
      image: `elements/provider_${element.key}.png`,
      active: true,
      deleted: false,
      typeOauth: false,
      trialAccount: false,
      resources: [],
    },
    elementId: element.id,
    tags,
    provisionInteractions: [],
    valid,
    disabled,
    maxCacheSize: 0,
    cacheTimeToLive: 0,
    configuration: shown,
    eventsEnabled: false,
    traceLoggingEnabled: false,
    cachingEnabled: false,
    externalAuthentication: 'none',
    user: { id: userId },
  };
}

/** Booleans, numbers and objects come back as strings. */
function stringified(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}
