import * as z from 'zod/mini';
import { maySteer, namesCredential } from '../../../functions/model/address-names.ts';
import type { Elements } from '../../../functions/model/elements.ts';
import { isEntryName } from '../../../functions/model/entry-name.ts';

/**
 * An entry as `GET /elements/{key}/configuration` shows it. The current list says `required`, an older form `mandatory`.
 */
const entrySchema = z.object({
  // A key that does not look like the name of an entry may be a credential.
  key: z.string().check(z.refine(isEntryName)),
  type: z.catch(z.optional(z.string()), undefined),
  required: z.nullish(z.boolean()),
  mandatory: z.nullish(z.boolean()),
  defaultValue: z.nullish(z.unknown()),
  hideFromConsole: z.nullish(z.boolean()),
  internal: z.nullish(z.boolean()),
});
type Entry = z.infer<typeof entrySchema>;

const listSchema = z.array(z.unknown());
const requirementsSchema = z.union([listSchema, z.object({ configuration: listSchema })]);

export type Requirements = {
  element: Elements[string];
  /** For the deployer: what the element's entry leaves open. */
  advice: string[];
};

/**
 * The element's entry for `cdk.json`: nothing in it lets a request decide where credentials are sent, and no default value
 * of Cloud Elements is repeated, as some are credentials.
 * @returns undefined when the response is not a list of entries
 */
export function requirementsIn(json: unknown): Requirements | undefined {
  const parsed = requirementsSchema.safeParse(json).data;
  if (!parsed) return undefined;
  const items = Array.isArray(parsed) ? parsed : parsed.configuration;
  const read = items.flatMap((item) => entrySchema.safeParse(item).data ?? []);
  const unreadable = items.length - read.length;
  const entries = [...new Map(read.map((entry) => [entry.key, entry])).values()];
  const required = entries.filter(isRequired).map(({ key }) => key);
  const forms = entries.flatMap((entry) => {
    const form = formOf(entry);
    return form === undefined ? [] : [[entry.key, form] as const];
  });
  const element = {
    ...(required.length > 0 && { required }),
    ...(forms.length > 0 && { allowed: Object.fromEntries(forms) }),
  };
  return { element, advice: adviceOn(entries, unreadable) };
}

/** Cloud Elements fills in hidden entries and those with a default. */
const isRequired = ({ required, mandatory, defaultValue, hideFromConsole, internal }: Entry): boolean =>
  (required ?? mandatory ?? false) && !hideFromConsole && !internal && !isFilled(defaultValue);

const isFilled = (value: unknown): boolean => value !== undefined && value !== null && value !== '';

const isCredential = ({ key, type }: Entry): boolean =>
  type?.toUpperCase() === 'PASSWORD' || namesCredential(key);

/** About events, bulk jobs and OAuth: who hears of the tenant's data, and how. */
const isReserved = ({ key }: Entry): boolean => /^(event|bulk|oauth)[._]/.test(key);

function formOf(entry: Entry): 'flag' | 'count' | undefined {
  const { key, type, defaultValue, hideFromConsole, internal } = entry;
  const isSettable = !isCredential(entry) && !isReserved(entry) && !maySteer(key);
  if (!isSettable || hideFromConsole || internal) return undefined;
  if (type?.toUpperCase().startsWith('BOOLEAN')) return 'flag';
  const isText = typeof defaultValue === 'string' || typeof defaultValue === 'number';
  return isText && /^\d{1,6}$/.test(String(defaultValue)) ? 'count' : undefined;
}

function adviceOn(entries: readonly Entry[], unreadable: number): string[] {
  const open = entries.filter((entry) => isRequired(entry) && !isCredential(entry));
  const addresses = open.filter(({ key }) => maySteer(key));
  const texts = open.filter((entry) => !maySteer(entry.key) && formOf(entry) === undefined);
  return [
    ...addresses.map(
      ({ key }) =>
        `${key} may decide where the tenant's credentials are sent, so it is left to the tenants' secrets. If requests may ` +
        `choose it, add "addresses": {"${key}": ${/ur[il]$|callback$|webhook$/i.test(key) ? '{"origins": ["https://…"]}' : '"dns-label"'}}.`,
    ),
    ...texts.map(
      ({ key }) =>
        `${key} is left to the tenants' secrets. If requests may set it, add "allowed": {"${key}": {"oneOf": ["…"]}} with ` +
        'the texts that may be stored in plain.',
    ),
    ...(entries.some((entry) => isRequired(entry) && /^oauth[._].*(callback|code)/.test(entry.key))
      ? ['The element seems to need an OAuth consent in a browser, which this service does not do.']
      : []),
    ...(unreadable > 0
      ? [`${unreadable} of Cloud Elements' entries could not be read and are left out.`]
      : []),
    'Whether the element answers a ping is not in the response: add "ping": false if checks find "no-ping".',
  ];
}
