import * as z from 'zod/mini';
import { maySteer, namesCredential } from '../functions/model/address-names.ts';
import { elementSchema, elementsSchema, type Elements } from '../functions/model/elements.ts';
import { leavesOf, type EntryValue } from '../functions/model/entry-value.ts';
import { isEntryName } from '../functions/model/entry-name.ts';
import { elementKeySchema, tenantSecretSchema } from '../functions/model/instance.ts';
import { parseJson } from '../functions/model/json.ts';
import { isOrigin } from '../functions/model/origin.ts';
import { plain } from './plain-text.ts';

/**
 * The deployer's elements. A function gets them in its environment, for which Lambda has 4 KB in all: names and ARNs of
 * the stack's resources take up to 1.1 KB of these.
 */
const maxBytes = 2_900;

/** Elements as they come from outside, of `cdk.json` for one. */
export const checkedElementsSchema = z.pipe(
  z.unknown(),
  z.transform((given, context): Elements => {
    const checked = checkElements(given);
    if ('elements' in checked) return checked.elements;
    for (const { path, message } of checked.faults) {
      context.issues.push({ code: 'custom', path, message, input: given });
    }
    return z.NEVER;
  }),
);

/**
 * The value of the functions' environment variable; undefined when there are no elements.
 * @throws TypeError naming everything that is wrong with them
 */
export function environmentOfElements(elements: Elements | undefined): string | undefined {
  if (elements === undefined || Object.keys(elements).length === 0) return undefined;
  const checked = checkElements(elements);
  if ('elements' in checked) return JSON.stringify(checked.elements);
  const lines = checked.faults.map(({ path, message }) => `  ${['elements', ...path].join('.')}: ${message}`);
  throw new TypeError(['Wrong elements:', ...lines].join('\n'));
}

type Fault = { path: string[]; message: string };

function checkElements(given: unknown): { elements: Elements } | { faults: Fault[] } {
  const entries = entriesSchema.safeParse(given);
  if (!entries.success) return { faults: [{ path: [], message: `expected ${elementsExpected}` }] };
  const faults = Object.entries(entries.data).flatMap(([key, entry]) => {
    if (!elementKeySchema.safeParse(key).success) return [{ path: [], message: keysExpected }];
    const { data: element, error } = elementSchema.safeParse(entry);
    const found = element
      ? faultsOf(element)
      : (error?.issues ?? []).map((issue) => ({ path: pathOf(issue.path), message: wordsOf(issue) }));
    return found.map(({ path, message }) => ({ path: [plain(key), ...path], message }));
  });
  const bytes = Buffer.byteLength(JSON.stringify(given));
  if (bytes > maxBytes) {
    const message =
      `takes ${bytes} bytes as JSON, and the environment of a Lambda function has room for ${maxBytes}. Leave out elements ` +
      'that need no entry: one whose configuration is in the tenant’s secret alone works without';
    faults.push({ path: [], message });
  }
  return faults.length > 0 ? { faults } : { elements: elementsSchema.parse(given) };
}

const entriesSchema = z.record(z.string(), z.unknown());
const elementsExpected = 'an object with an entry for each element';
const keysExpected = 'expected keys of elements as Cloud Elements writes them, such as "freshdeskv2"';

const pathOf = (path: readonly PropertyKey[]): string[] => path.map((part) => plain(String(part)));

function wordsOf(issue: z.core.$ZodIssue): string {
  return issue.code === 'unrecognized_keys'
    ? `unknown key ${issue.keys.map(plain).join(', ')} (known: required, allowed, addresses, defaults, ping)`
    : `expected ${issue.message}`;
}

function faultsOf({ required = [], allowed = {}, addresses = {}, defaults = {} }: Elements[string]): Fault[] {
  const settable = [
    ...Object.keys(allowed).map((name) => ['allowed', name] as const),
    ...Object.keys(addresses).map((name) => ['addresses', name] as const),
  ];
  return [
    ...required
      .filter((name) => !isSecretsEntry(name))
      .map(() => ({ path: ['required'], message: `expected ${entryName}` })),
    ...Object.entries(defaults).flatMap(([name, value]) =>
      at(['defaults', name], faultOfDefault(name, value)),
    ),
    ...settable.flatMap(([list, name]) => at([list, name], faultOfSettable(list, name))),
    ...Object.keys(addresses)
      .filter((name) => Object.hasOwn(allowed, name))
      .flatMap((name) => at(['addresses', name], 'is in "allowed", too: keep one of the two')),
    ...Object.entries(addresses).flatMap(([name, form]) =>
      typeof form === 'object' && 'origins' in form && !form.origins.every(isListedOrigin)
        ? at(
            ['addresses', name, 'origins'],
            'expected origins such as "https://api.example.com": https, in lower case, without path, query and user info',
          )
        : [],
    ),
  ];
}

const at = (path: readonly string[], message: string | undefined): Fault[] =>
  message === undefined ? [] : [{ path: path.map(plain), message }];

const entryName = 'names of configuration entries such as "api.key"';

/** The names that a tenant's secret may have. */
const isSecretsEntry = (name: string): boolean => tenantSecretSchema.safeParse({ [name]: 'x' }).success;

const readableDefault =
  'and a default can be read in the template and in the functions’ environment: put it into the tenants’ secrets';

function faultOfDefault(name: string, value: EntryValue): string | undefined {
  if (!isSecretsEntry(name)) return `expected ${entryName}`;
  if (namesCredential(name)) return `names a credential, ${readableDefault}`;
  return holdsCredential(value)
    ? `holds a credential by a name in it or as part of a URL, ${readableDefault}`
    : undefined;
}

/** Inside of objects, of JSON in a text, and in the user info and the query of a URL. */
function holdsCredential(value: unknown): boolean {
  return leavesOf(value).some(({ names, leaf }) => {
    if (names.some(namesCredential)) return true;
    if (typeof leaf !== 'string') return false;
    const read = parseJson(leaf);
    if ('json' in read && typeof read.json === 'object') return holdsCredential(read.json);
    const url = URL.parse(leaf);
    return (
      url !== null &&
      (url.username !== '' || url.password !== '' || [...url.searchParams.keys()].some(namesCredential))
    );
  });
}

function faultOfSettable(list: 'allowed' | 'addresses', name: string): string | undefined {
  if (!isEntryName(name)) return `expected ${entryName}`;
  if (namesCredential(name)) {
    return 'names a credential, and what a request sets here is stored in plain text: leave it to the tenants’ secrets';
  }
  if (list === 'addresses' || !maySteer(name)) return undefined;
  return (
    'by its name it may decide where the tenant’s stored credentials are sent. If requests may choose that, say so: ' +
    `move it to "addresses": {"${plain(name)}": "dns-label"}, or {"${plain(name)}": {"origins": ["https://api.example.com"]}} for ` +
    `a URL, or {"${plain(name)}": {"oneOf": ["…"]}}; otherwise leave it out`
  );
}

const isListedOrigin = (text: string): boolean =>
  /^https:\/\/[a-z0-9.-]+(?::\d+)?$/.test(text) && isOrigin(text) && new URL(text).origin === text;
