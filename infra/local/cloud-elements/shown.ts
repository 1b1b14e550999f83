import type { ElementDefinition, ElementEntry } from './catalog.ts';

/** Elements, instances and their configuration as the simulated platform's answers show them. */

export const mask = '********';

/** Masked even in the answer of a create. */
const oauthCredentials = new Set(['oauth.api.key', 'oauth.api.secret']);

/** An instance as the platform keeps it. Tests may change the fields that are not readonly, as the console does. */
export type Instance = {
  readonly id: number;
  readonly token: string;
  readonly element: ElementDefinition;
  readonly userId: number;
  readonly createdAtMs: number;
  readonly createdDate: string;
  name: string;
  tags: readonly string[];
  /** As sent; responses add defaults and masks, and turn values into strings. */
  configuration: Readonly<Record<string, unknown>>;
  valid: boolean;
  disabled: boolean;
  eventsEnabled: boolean;
  cachingEnabled: boolean;
  readonly externalAuthentication: string;
};

/**
 * The full form: the fields in the Taxify guide and those that later guides add. `isNew`: in the response to its create,
 * which shows credentials as they were sent, except those of OAuth.
 */
export function showInstance(instance: Instance, { isNew = false } = {}) {
  const { id, name, createdDate, token, element, userId, tags, valid, disabled } = instance;
  return {
    id,
    name,
    createdDate,
    token,
    element: showElement(element),
    elementId: element.id,
    tags,
    provisionInteractions: [],
    valid,
    disabled,
    maxCacheSize: 0,
    cacheTimeToLive: 0,
    configuration: showConfiguration(instance, isNew),
    eventsEnabled: instance.eventsEnabled,
    traceLoggingEnabled: false,
    cachingEnabled: instance.cachingEnabled,
    externalAuthentication: instance.externalAuthentication,
    user: showUser(userId),
  };
}

export function showElement({ id, key, name, hub, description, entries }: ElementDefinition) {
  return {
    id,
    name,
    key,
    description,
    image: `elements/provider_${key}.png`,
    active: true,
    deleted: false,
    typeOauth: false,
    trialAccount: false,
    resources: [],
    authentication: { type: entries.some((entry) => entry.key === 'username') ? 'basic' : 'custom' },
    hub,
  };
}

/** The entries that an element requires, as `GET /elements/{keyOrId}` shows them. */
export function showElementEntries({ name: elementName, entries }: ElementDefinition): object[] {
  return entries.map(({ key, name, type, required, defaultValue }, index) => ({
    id: index + 1,
    name,
    key,
    description: `${elementName} ${name}`,
    ...(defaultValue !== null && { defaultValue }),
    resellerConfig: false,
    companyConfig: false,
    active: true,
    internal: false,
    groupControl: false,
    displayOrder: index,
    type,
    hideFromConsole: false,
    required,
  }));
}

/** One entry of an instance's configuration. `id` names it in paths. */
export function showEntry(instance: Instance, key: string, id: number): object {
  const { element } = instance;
  // Entries that the element does not define are kept, too.
  const { name = key, type = 'TEXTFIELD_1000', required = false } = definitionOf(element, key) ?? {};
  return {
    id,
    key,
    name,
    description: `${element.name} ${name}`,
    propertyValue: showConfiguration(instance)[key],
    required,
    type,
    hideFromConsole: false,
    active: true,
  };
}

function showConfiguration({ element, configuration }: Instance, isNew = false) {
  const shown: Record<string, string | null> = {};
  for (const { key, defaultValue } of element.entries) shown[key] = defaultValue;
  for (const [key, value] of Object.entries(configuration)) shown[key] = stringified(value);
  for (const [key, value] of Object.entries(shown)) {
    const isPassword = !isNew && definitionOf(element, key)?.type === 'PASSWORD';
    if (value && (isPassword || oauthCredentials.has(key))) shown[key] = mask;
  }
  return shown;
}

function showUser(id: number) {
  return {
    id,
    emailAddress: `user-${id}@simulated.example`,
    firstName: 'Simulated',
    lastName: `User ${id}`,
  };
}

function definitionOf({ entries }: ElementDefinition, key: string): ElementEntry | undefined {
  return entries.find((entry) => entry.key === key);
}

/** Booleans, numbers, objects and lists come back as strings. */
export function stringified(value: unknown): string | null {
  if (value === null || value === undefined) return null;
  return typeof value === 'string' ? value : JSON.stringify(value);
}
