import { textOf } from './entry-value.ts';

/**
 * What is known of an element. `required`: the credentials without which Cloud Elements refuses. `allowed`: harmless
 * entries that a request may set beside the tenant's stored credentials.
 */
export type ElementEntries = {
  required: readonly string[];
  allowed: Readonly<Record<string, Form>>;
};

/** What the value of an allowed entry looks like: it is stored and compared, so a credential must not pass for one. */
export type Form = { pattern: RegExp; expected: string };

/**
 * The elements that a deployment knows, by their keys. An element that is not in it works too: Cloud Elements judges its
 * configuration.
 */
export type Catalog = ReadonlyMap<string, ElementEntries>;

export const isCatalogued = (catalog: Catalog, elementKey: string): boolean => catalog.has(elementKey);

export const requiredKeys = (catalog: Catalog, elementKey: string): readonly string[] =>
  catalog.get(elementKey)?.required ?? [];

const allowedOf = (catalog: Catalog, elementKey: string) => catalog.get(elementKey)?.allowed ?? {};

export const allowedKeys = (catalog: Catalog, elementKey: string): readonly string[] =>
  Object.keys(allowedOf(catalog, elementKey));

/** What an allowed entry's value has to be, if this one is not that. */
export function expectedOf(
  catalog: Catalog,
  elementKey: string,
  name: string,
  value: unknown,
): string | undefined {
  const allowed = allowedOf(catalog, elementKey);
  const form = Object.hasOwn(allowed, name) ? allowed[name] : undefined;
  return form && !form.pattern.test(textOf(value)) ? form.expected : undefined;
}

/** May the value be stored, compared and repeated? */
export const isAllowListed = (catalog: Catalog, elementKey: string, name: string, value: unknown): boolean =>
  Object.hasOwn(allowedOf(catalog, elementKey), name) &&
  expectedOf(catalog, elementKey, name, value) === undefined;
