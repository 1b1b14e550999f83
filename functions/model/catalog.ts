import { textOf } from './entry-value.ts';

type Entries = { required: readonly string[]; allowed: Readonly<Record<string, Form>> };

/** What the value of an allowed entry looks like: it is stored and compared, so a credential must not pass for one. */
type Form = { pattern: RegExp; expected: string };

const flag: Form = { pattern: /^(true|false)$/, expected: 'true or false' };
const count: Form = { pattern: /^\d{1,6}$/, expected: 'a whole number of at most 6 digits' };

/**
 * The elements that this service knows. `required`: the credentials without which Cloud Elements refuses. `allowed`:
 * harmless entries that a request may set beside the tenant's stored credentials. An entry that decides where the
 * credentials are sent (`base.url`) or who hears of the tenant's data (`event.notification.callback.url`) is never
 * harmless. An element without a row works too: Cloud Elements judges its configuration.
 */
const catalogue: Readonly<Record<string, Entries>> = {
  // Keys of the sample answer in https://github.com/cloud-elements/devportal docs/elements/taxify.
  taxify: {
    required: ['api.key'],
    allowed: { 'filter.response.nulls': flag, 'pagination.max': count },
  },
};

/** The element that an event means when it names none. */
export const defaultElementKey = 'taxify';

const entryOf = (elementKey: string) =>
  Object.hasOwn(catalogue, elementKey) ? catalogue[elementKey] : undefined;

export const isCatalogued = (elementKey: string): boolean => entryOf(elementKey) !== undefined;

export const requiredKeys = (elementKey: string): readonly string[] => entryOf(elementKey)?.required ?? [];

const allowedOf = (elementKey: string) => entryOf(elementKey)?.allowed ?? {};

export const allowedKeys = (elementKey: string): readonly string[] => Object.keys(allowedOf(elementKey));

/** What an allowed entry's value has to be, if this one is not that. */
export function expectedOf(elementKey: string, name: string, value: unknown): string | undefined {
  const allowed = allowedOf(elementKey);
  const form = Object.hasOwn(allowed, name) ? allowed[name] : undefined;
  return form && !form.pattern.test(textOf(value)) ? form.expected : undefined;
}

/** May the value be stored, compared and repeated? */
export const isAllowListed = (elementKey: string, name: string, value: unknown): boolean =>
  Object.hasOwn(allowedOf(elementKey), name) && expectedOf(elementKey, name, value) === undefined;

const documented = new Set(
  Object.values(catalogue).flatMap(({ required, allowed }) => [...required, ...Object.keys(allowed)]),
);

/** Is it the name of a configuration entry of an element in the catalogue? */
export const isDocumented = (name: string): boolean => documented.has(name);
