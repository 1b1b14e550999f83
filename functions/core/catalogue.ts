/**
 * What this service knows of an element. `required`: the credentials without which Cloud Elements refuses. `allowed`:
 * harmless entries that a request may set beside the tenant's stored credentials. An entry that decides where the
 * credentials are sent (`base.url`) or who hears of the tenant's data (`event.notification.callback.url`) is never
 * harmless. An element without a row works too: Cloud Elements judges its configuration.
 */
const catalogue: Readonly<Record<string, { required: readonly string[]; allowed: readonly string[] }>> = {
  // Keys of the sample answer in https://github.com/cloud-elements/devportal docs/elements/taxify.
  taxify: { required: ['api.key'], allowed: ['filter.response.nulls', 'pagination.max'] },
};

/** The element that an event means when it names none. */
export const defaultElementKey = 'taxify';

const entryOf = (elementKey: string) =>
  Object.hasOwn(catalogue, elementKey) ? catalogue[elementKey] : undefined;

export const isCatalogued = (elementKey: string): boolean => entryOf(elementKey) !== undefined;

export const requiredKeys = (elementKey: string): readonly string[] => entryOf(elementKey)?.required ?? [];

export const allowedKeys = (elementKey: string): readonly string[] => entryOf(elementKey)?.allowed ?? [];

const documented = new Set(
  Object.values(catalogue).flatMap(({ required, allowed }) => [...required, ...allowed]),
);

/** Is it the name of a configuration entry of an element in the catalogue? */
export const isDocumented = (name: string): boolean => documented.has(name);
