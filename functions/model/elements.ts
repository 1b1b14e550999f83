import * as z from 'zod/mini';
import { entryValueSchema } from './entry-value.ts';
import { parseJson } from './json.ts';

/** Exactly these texts. */
const oneOfSchema = z.strictObject({ oneOf: z.array(z.string()).check(z.minLength(1, 'at least one text')) });

const formSchema = z.union([z.enum(['flag', 'count']), oneOfSchema], {
  error: '"flag", "count" or {"oneOf": ["…"]}',
});

const addressFormSchema = z.union(
  [
    z.literal('dns-label'),
    z.strictObject({ origins: z.array(z.string()).check(z.minLength(1, 'at least one origin')) }),
    oneOfSchema,
  ],
  { error: '"dns-label", {"origins": ["https://…"]} or {"oneOf": ["…"]}' },
);

const name = z.string('the name of a configuration entry');

/** An element as the deployer describes it, in `cdk.json` or to the construct. */
export const elementSchema = z.strictObject(
  {
    /** Entries without which Cloud Elements refuses a create. */
    required: z.optional(z.array(name, 'a list of names of configuration entries')),
    /**
     * Harmless entries that a request or an event may set beside the tenant's stored credentials, with the form of their
     * values: these are stored and compared, so a credential must not pass for one.
     */
    allowed: z.optional(z.record(name, formSchema, 'an object with the form of each entry')),
    /** The same for entries that decide where the credentials, or the tenant's data, are sent. */
    addresses: z.optional(z.record(name, addressFormSchema, 'an object with the form of each entry')),
    /** Sent with a create unless the tenant's secret or the request has another value. */
    defaults: z.optional(z.record(name, entryValueSchema, 'an object with the value of each entry')),
    /** False: the element answers no ping, so its health is unknown. Absent: a check tries. */
    ping: z.optional(z.boolean('true or false')),
  },
  'an object with required, allowed, addresses, defaults or ping',
);

/** Elements by their keys. */
export const elementsSchema = z.record(z.string(), elementSchema, 'an object with an entry for each element');
export type Elements = z.infer<typeof elementsSchema>;
export type ElementForm = z.infer<typeof formSchema> | z.infer<typeof addressFormSchema>;

/** @throws TypeError the text is not what `infra/environment.ts` has written */
export function elementsFrom(text: string): Elements {
  const read = parseJson(text);
  const { data } = elementsSchema.safeParse('json' in read ? read.json : undefined);
  if (!data) throw new TypeError('Wrong environment: expected ELEMENTS to be JSON of elements.');
  return data;
}
