import { namesHost } from './address-names.ts';
import { joinNamed } from './bounded-text.ts';
import type { ElementForm, Elements } from './elements.ts';
import { textOf, type EntryValue } from './entry-value.ts';

/** The accepted values of an allowed entry. `expected`: in words. */
type Form = { accepts: (text: string) => boolean; expected: string };

type CatalogElement = {
  required: readonly string[];
  allowed: ReadonlyMap<string, Form>;
  defaults: Readonly<Record<string, EntryValue>>;
  ping: boolean | undefined;
};

/**
 * The elements that a deployment knows. An element that is not in it works too: Cloud Elements judges its
 * configuration.
 */
export type Catalog = ReadonlyMap<string, CatalogElement>;

export function catalogOf(elements: Elements): Catalog {
  return new Map(
    Object.entries(elements).map(
      ([key, { required = [], allowed = {}, addresses = {}, defaults = {}, ping }]) => {
        const forms = Object.entries({ ...allowed, ...addresses });
        return [
          key,
          {
            required,
            defaults,
            ping,
            allowed: new Map(forms.map(([name, form]) => [name, formOf(name, form)])),
          },
        ];
      },
    ),
  );
}

function formOf(name: string, form: ElementForm): Form {
  if (form === 'flag') return matching(/^(true|false)$/, 'true or false');
  if (form === 'count') return matching(/^\d{1,6}$/, 'a whole number of at most 6 digits');
  if (form === 'dns-label') return namesHost(name) ? hostLabel : matching(dnsLabel, dnsLabelInWords);
  if ('oneOf' in form) return { accepts: (text) => form.oneOf.includes(text), expected: listed(form.oneOf) };
  return {
    accepts: (text) => form.origins.some((origin) => isPlainUrlAt(origin, text)),
    expected: `a URL at ${listed(form.origins)}, written plainly: without user info, query and fragment, at most ${maxUrlLength} characters`,
  };
}

const matching = (pattern: RegExp, expected: string): Form => ({
  accepts: (text) => pattern.test(text),
  expected,
});

const listed = (texts: readonly string[]): string => joinNamed(texts, ' or ');

/**
 * A label has no dot, no slash and no "#", so it cannot lead away from the domain that the element puts behind it. No
 * hyphen at either end (RFC 1123).
 */
const dnsLabel = /^[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?$/;
const dnsLabelInWords = 'one DNS label: at most 63 letters, digits and hyphens, no hyphen at either end';

/**
 * A number is a whole address where a host belongs: 134744072 and 0x08080808 are 8.8.8.8. A label has no dot, so the
 * parsed host has one only if the label was read as a number.
 */
const hostLabel: Form = {
  accepts: (text) => dnsLabel.test(text) && URL.parse(`https://${text}`)?.hostname.includes('.') === false,
  expected: `${dnsLabelInWords}; no number, which a host's name cannot be`,
};

/** It is stored. */
const maxUrlLength = 300;

/**
 * Compared by origin. The text must be the URL as the parser writes it, of letters that every parser reads alike:
 * Cloud Elements' parser may take another host out of `https://one.example\@two.example`.
 */
function isPlainUrlAt(origin: string, text: string): boolean {
  const url = URL.parse(text);
  return (
    text.length <= maxUrlLength &&
    url?.origin === origin &&
    (url.href === text || url.href === `${text}/`) &&
    /^https:\/\/[a-z0-9.:-]+(?:\/[\w.~-]+)*\/?$/i.test(text)
  );
}

export const isCatalogued = (catalog: Catalog, elementKey: string): boolean => catalog.has(elementKey);

export const requiredKeys = (catalog: Catalog, elementKey: string): readonly string[] =>
  catalog.get(elementKey)?.required ?? [];

export const allowedKeys = (catalog: Catalog, elementKey: string): readonly string[] => [
  ...(catalog.get(elementKey)?.allowed.keys() ?? []),
];

export const defaultsOf = (catalog: Catalog, elementKey: string): Readonly<Record<string, EntryValue>> =>
  catalog.get(elementKey)?.defaults ?? {};

/** Does Cloud Elements have no ping for the element, as far as is known? */
export const hasNoPing = (catalog: Catalog, elementKey: string): boolean =>
  catalog.get(elementKey)?.ping === false;

/** What an allowed entry's value has to be, if this one is not that. */
export function expectedOf(
  catalog: Catalog,
  elementKey: string,
  name: string,
  value: unknown,
): string | undefined {
  const form = catalog.get(elementKey)?.allowed.get(name);
  return form && !form.accepts(textOf(value)) ? form.expected : undefined;
}

/** May the value be stored, compared and repeated? */
export const isAllowListed = (catalog: Catalog, elementKey: string, name: string, value: unknown): boolean =>
  catalog.get(elementKey)?.allowed.get(name)?.accepts(textOf(value)) ?? false;
