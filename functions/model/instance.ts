import { createHash } from 'node:crypto';
import * as z from 'zod/mini';
import { isAllowListed, type Catalog } from './catalog.ts';
import { digestOf, provenanceOf, type Provenance } from './configuration.ts';
import { isElementKey, isEntryName } from './entry-name.ts';
import { entryValueSchema, filledIn, isPlaceholder, textOf } from './entry-value.ts';
import { healthView, storedHealthSchema } from './health.ts';
import { reservedTagPrefixes } from './markers.ts';
import type { Instance } from './responses.ts';
import { momentsSchema, timeSchema, type Moment } from './moments.ts';

/** A tenant's id becomes part of URLs, of a secret's name and of a tag: no separator of any of these can be in it. */
export const tenantIdSchema = z
  .string()
  .check(
    z.maxLength(64, 'at most 64 characters'),
    z.regex(
      /^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$/,
      'letters, digits, "_", "-" and single "." between them, beginning with a letter or digit',
    ),
  );

const elementKeyPattern = /^[a-z0-9][a-z0-9_-]*$/;
const maxElementKeyLength = 64;

export const elementKeySchema = z.string().check(
  z.maxLength(maxElementKeyLength, 'at most 64 characters'),
  z.regex(elementKeyPattern, 'lower-case letters, digits, "_" and "-", beginning with a letter or digit'),
  // Of a text that cannot be a key anyway the problems above say enough.
  z.refine((key) => key.length > maxElementKeyLength || !elementKeyPattern.test(key) || isElementKey(key), {
    error: 'the key of an element such as "taxify"; this one is not shown because it may be a credential',
  }),
);

const noMarkup = 'no "<", no ">" and no control characters';

/** Cloud Elements strips HTML from names and tags, so text that it would change is refused instead. */
const plainText = z.string().check(
  z.maxLength(255, 'at most 255 characters'),
  z.regex(/[^\s\p{Cf}]/u, 'at least one visible character'),
  z.regex(/^[^<>\p{Cc}\p{Cs}]*$/u, {
    error: ({ input }) => (isPlaceholder(input) ? filledIn : noMarkup),
  }),
  z.regex(/^(?![\s\S]*&#?\w+;)/, 'no HTML entity such as "&amp;"'),
);

const nameSchema = plainText.check(
  // Two of them join letters of some scripts, and emoji.
  z.regex(/^[\u200c\u200d\P{Cf}]*$/u, 'no invisible characters'),
);

/** In any case and with any white space around it. */
const reservedTag = new RegExp(`^\\s*(${reservedTagPrefixes.join('|')})\\s*:`, 'i');

export const tagSchema = plainText.check(
  z.regex(/^\P{Cf}*$/u, 'no invisible characters'),
  // Without characters that are ignored where nothing can show them.
  z.refine((tag) => !reservedTag.test(tag.replaceAll(/\p{Default_Ignorable_Code_Point}/gu, '')), {
    error: 'a tag without the prefixes "tenant:", "provision:" and "owner:", which this service sets itself',
  }),
);

/** Entry names as Cloud Elements writes them. One that does not look like a name may be a credential, misplaced. */
export const entryNameSchema = z.string().check(
  z.refine(isEntryName, {
    error:
      'names of configuration entries such as "api.key"; one is not shown because it may be a credential',
  }),
);

export const configurationSchema = z.record(entryNameSchema, entryValueSchema);
export type Configuration = z.infer<typeof configurationSchema>;

/** A tenant's secret. Its names come from the operator, and are sent but not stored. */
export const tenantSecretSchema = z.record(
  z.string().check(z.regex(/^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/, 'a configuration key such as "api.key"')),
  entryValueSchema,
);

const flag = z.optional(z.boolean('true or false'));

/** Documented fields beside the configuration that are passed on and kept. */
const optionsShape = {
  eventsEnabled: flag,
  cachingEnabled: flag,
  retrieveObjectsAfterInstantiation: flag,
  externalAuthentication: z.optional(z.enum(['none', 'initial'], '"none" or "initial"')),
};
const optionsSchema = z.object(optionsShape);
export type InstanceOptions = z.infer<typeof optionsSchema>;

/** Those that a request sets; undefined if it sets none. */
export function optionsOf(requested: InstanceOptions): InstanceOptions | undefined {
  const { eventsEnabled, cachingEnabled, retrieveObjectsAfterInstantiation, externalAuthentication } =
    requested;
  const options = {
    ...(eventsEnabled !== undefined && { eventsEnabled }),
    ...(cachingEnabled !== undefined && { cachingEnabled }),
    ...(retrieveObjectsAfterInstantiation !== undefined && { retrieveObjectsAfterInstantiation }),
    ...(externalAuthentication !== undefined && { externalAuthentication }),
  };
  return Object.keys(options).length > 0 ? options : undefined;
}

/** The settable part of Cloud Elements' `instance.json`. */
const settingsShape = {
  name: z.optional(nameSchema),
  tags: z.optional(z.array(tagSchema).check(z.maxLength(20, 'at most 20 tags'))),
  configuration: z.optional(configurationSchema),
  /** Printed in bodies of elements that are configured by keys, too, but empty; then it is not passed on. */
  providerData: z.optional(
    z.strictObject(
      {},
      'an empty object: this element needs an OAuth consent in a browser, which this service does not do. Create the ' +
        "instance with Cloud Elements' own OAuth flow, in its console",
    ),
  ),
};

const namedElement = z.strictObject({ key: elementKeySchema });

/** Body of `POST /tenants/{tenantId}/instances`: Cloud Elements' `instance.json`. */
export const instanceRequestSchema = z.strictObject({
  /** Import has its own route, because IAM cannot see a body. */
  id: z.optional(
    z.never(
      'no id. To import an instance that exists at Cloud Elements, send its id to ' +
        'POST /tenants/{tenantId}/instances/{elementKey}/import',
    ),
  ),
  element: namedElement,
  ...settingsShape,
  ...optionsShape,
});

/** Body of `POST /tenants/{tenantId}/instances/{elementKey}/import`. */
export const importRequestSchema = z.strictObject({
  id: z.int('the id of an instance at Cloud Elements, a whole number').check(z.positive('a positive number')),
});

/** Fields of a `PATCH` that change nothing: clients of Cloud Elements send the instance along. */
export const unchangingFields = ['id', 'element', 'providerData'] as const;

/** Body of `PATCH /tenants/{tenantId}/instances/{elementKey}`: an absent field stays unchanged. */
export const instanceUpdateSchema = z
  .strictObject({
    id: z.optional(z.int('the id of this instance')),
    element: z.optional(namedElement),
    ...settingsShape,
    eventsEnabled: flag,
    cachingEnabled: flag,
  })
  .check(
    z.refine(
      ({ id: _id, element: _element, providerData: _data, ...changes }) =>
        Object.values(changes).some((value) => value !== undefined),
      { error: 'at least one of name, tags, configuration, eventsEnabled and cachingEnabled' },
    ),
  );

/** Detail of a `TenantOnboarded` event: the same plus the tenant, with the element left open. */
export const tenantOnboardedSchema = z.strictObject({
  tenantId: tenantIdSchema,
  element: z.optional(namedElement),
  ...settingsShape,
  ...optionsShape,
});

export type InstanceKey = { tenantId: string; elementKey: string };

/** The requesting event, kept with the instance so that its result is published in its own dialect. */
const eventOriginSchema = z.object({
  dialect: z.enum(['native', 'sbt-0.5', 'sbt-0.9']),
  eventId: z.string(),
  registrationId: z.optional(z.string()),
  /** When it was sent, never later than its message's first arrival: ms since the epoch, of whole seconds. */
  sentAt: timeSchema,
  /** The sender's clock was ahead: `sentAt` is the arrival, by the queue's clock. */
  isCut: z.optional(z.boolean()),
});
export type EventOrigin = z.infer<typeof eventOriginSchema>;

/** When an event was sent, by its own clock unless that one was seen to be ahead. */
export function momentOf({ sentAt, isCut }: EventOrigin): Moment {
  return { clock: isCut ? 'queue' : 'event', at: sentAt };
}

/** The request of the SaaS Builder Toolkit that a tenant came by; its control plane waits for results under this id. */
const registrationSchema = z.object({
  dialect: z.enum(['sbt-0.5', 'sbt-0.9']),
  registrationId: z.string(),
  /** Of an instance that was removed since: results still go to it, but it has not requested the present instance. */
  isOfFormer: z.optional(z.boolean()),
});
export type Registration = z.infer<typeof registrationSchema>;

/**
 * An event that came to its end without changing the row: its request was refused, or it requests a removal that was
 * carried out before. Kept so that the table's stream answers it.
 */
const noticeSchema = z.object({
  outcome: z.enum(['refused', 'removed']),
  eventId: z.string(),
  registration: z.optional(registrationSchema),
  code: z.optional(z.string()),
  detail: z.optional(z.string()),
  /** ms since the epoch */
  at: timeSchema,
});
export type Notice = z.infer<typeof noticeSchema>;

/** A request for an instance. Credentials are in `configuration` only, and nothing of it is stored. */
export type RequestedSettings = InstanceKey & {
  name: string;
  tags: readonly string[];
  configuration: Configuration;
  options: InstanceOptions | undefined;
  requestedBy?: EventOrigin | undefined;
  /** The existing instance to import; nothing is created. */
  importedId?: number | undefined;
};

/** What a request means by the element's entry in the catalog. */
type Judgment = Provenance & {
  /** The part of the configuration that the catalog lists as harmless, which may be stored. */
  allowListed: Record<string, string>;
  fingerprint: string;
};

export type InstanceSettings = RequestedSettings & Judgment;

/** Completes a parsed request: default name, tags as a set. */
export function settingsOf(
  key: InstanceKey,
  requested: {
    name?: string | undefined;
    tags?: string[] | undefined;
    configuration?: Configuration | undefined;
  } & InstanceOptions,
  requestedBy?: EventOrigin,
): RequestedSettings {
  return {
    ...key,
    name: requested.name ?? `${key.elementKey}-${key.tenantId}`,
    tags: [...new Set(requested.tags)],
    configuration: requested.configuration ?? {},
    options: optionsOf(requested),
    requestedBy,
  };
}

/** The settings of an import, before the instance has been read: its name and tags are not known yet. */
export function settingsOfImport(key: InstanceKey, importedId: number): InstanceSettings {
  const settings = { ...settingsOf(key, {}), ...unknownProvenance, allowListed: {}, importedId };
  return { ...settings, fingerprint: fingerprintOf(settings) };
}

/** Its configuration may come from anyone: the tenant's secret is not sent to it until an operator vouches for it. */
const unknownProvenance = { source: undefined, requestEntries: undefined, requestDigest: undefined };

/** Judges a request by the catalog: where its configuration comes from, what of it is stored, its fingerprint. */
export function judged(catalog: Catalog, requested: RequestedSettings): InstanceSettings {
  const allowListed = allowListedOf(catalog, requested.elementKey, requested.configuration);
  return {
    ...requested,
    ...provenanceOf(catalog, requested),
    allowListed,
    fingerprint: fingerprintOf({ ...requested, allowListed }),
  };
}

/**
 * Judges a request that brings credentials as the list did when the row was written: elements and entries are added to
 * lists, and a repeat of the row's request must not become a conflict by that.
 */
export function judgedAsThen(
  row: InstanceRow,
  requested: RequestedSettings,
): Pick<InstanceSettings, 'fingerprint' | 'requestDigest'> {
  const { configuration } = requested;
  const names = Object.keys(configuration);
  const isStored = (name: string) => Object.hasOwn(row.allowListed, name);
  const allowListed = Object.fromEntries(
    names.filter(isStored).map((name) => [name, textOf(configuration[name])]),
  );
  const outside = names.filter((name) => !isStored(name));
  return {
    fingerprint: fingerprintOf({ ...requested, allowListed }),
    requestDigest: digestOf(outside, configuration),
  };
}

export function allowListedOf(
  catalog: Catalog,
  elementKey: string,
  configuration: Configuration,
): Record<string, string> {
  return Object.fromEntries(
    Object.entries(configuration).flatMap(([name, value]) =>
      isAllowListed(catalog, elementKey, name, value) ? [[name, textOf(value)]] : [],
    ),
  );
}

/**
 * Two requests for the same instance have the same fingerprint, and the same source: SHA-256 over element, name, tags,
 * the configuration that the catalogue lists as harmless and, if there are any, the options. A credential never enters
 * it, not even hashed: short keys could be guessed back. The id of an imported instance does, so that no request for an
 * instance of its own is a repeat of the import. Every version that works with the same table, after a
 * deployment or its undoing, compares this.
 */
export function fingerprintOf({
  elementKey,
  name,
  tags,
  allowListed,
  options,
  importedId,
}: Pick<InstanceRow, 'elementKey' | 'name' | 'allowListed' | 'options' | 'importedId'> & {
  tags: readonly string[];
}): string {
  const requested = [
    elementKey,
    // The same letters may be one character or two.
    name.normalize('NFC'),
    tags.map((tag) => tag.normalize('NFC')).toSorted(),
    Object.entries(allowListed).toSorted(byName),
    ...(options ? [Object.entries(options).toSorted(byName)] : []),
    ...(importedId === undefined ? [] : [{ importedId }]),
  ];
  return createHash('sha256').update(JSON.stringify(requested)).digest('base64url');
}

const byName = ([a]: [string, unknown], [b]: [string, unknown]): number => a.localeCompare(b);

/** What finds the instances of a generation that was given up: `name` and `createdAt` as its row had them. */
const formerSchema = z.object({
  provisionId: z.string(),
  name: z.string(),
  createdAt: timeSchema,
  /** Absent: that of the row. */
  origin: z.optional(z.string()),
});
export type Former = z.infer<typeof formerSchema>;

/** `removed`: a tombstone, which no answer shows; it distinguishes late events of before the removal from new ones. */
const statusSchema = z.enum(['provisioning', 'active', 'failed', 'deleting', 'removed']);

const lastErrorSchema = z.object({
  code: z.string(),
  detail: z.string(),
  requestId: z.optional(z.string()),
  /** Words of Cloud Elements that are in `detail`, for the error after this one. */
  said: z.optional(z.string()),
  /** ms since the epoch */
  at: timeSchema,
});

/** The part of a row that answers may show. */
export const instanceSummarySchema = z.object({
  tenantId: z.string(),
  elementKey: z.string(),
  status: statusSchema,
  /** Cloud Elements' id; absent until the instance is known to exist. */
  instanceId: z.optional(z.int()),
  name: z.string(),
  tags: z.array(z.string()),
  /** ms since the epoch, as are all times of a row */
  createdAt: timeSchema,
  updatedAt: timeSchema,
  lastError: z.optional(lastErrorSchema),
  /**
   * Of an active instance: absent until its first check. It only informs: what a later version writes makes no row
   * unreadable.
   */
  health: z.optional(storedHealthSchema),
});
export type InstanceSummary = z.infer<typeof instanceSummarySchema>;

const settledRowSchema = z.extend(instanceSummarySchema, {
  /**
   * Of this layout: a row of a later layout is refused instead of half understood. `import`: unfinished, which versions
   * without import must leave alone: they would take its instance for one of their own creates, and remove it.
   */
  v: z.union([z.literal(1), z.literal('import')]),
  /** Minted by the first claim, kept until the instance is deleted: the marker `provision:<id>` at Cloud Elements. */
  provisionId: z.string(),
  /** Random per claim: the fencing token, which distinguishes a rival's write from a repeat of one's own. */
  claimId: z.string(),
  /** The claim is exclusive until then; 0 when it has been given back. */
  leaseExpiresAt: timeSchema,
  /** No attempt sends a create after this moment. */
  sendDeadline: timeSchema,
  /** Some create's outcome was unknown: look before creating. */
  inDoubt: z.boolean(),
  /** Base URL of the Cloud Elements that holds the instance. */
  origin: z.string(),
  fingerprint: z.string(),
  allowListed: z.record(z.string(), z.string()),
  options: z.optional(optionsSchema),
  /** The later one of `requestedTimes`; rows of earlier versions have it alone. */
  requestedAt: timeSchema,
  /** When the instance was last requested, by each clock: an older removal does not mean it. Only moves forward. */
  requestedTimes: z.optional(momentsSchema),
  /** The element token, encrypted. */
  token: z.optional(z.instanceof(Uint8Array<ArrayBufferLike>)),
  requestedBy: z.optional(eventOriginSchema),
  /** When the reconciler is to look at the row; absent when there is nothing left to settle. */
  checkAt: z.optional(timeSchema),
  /** When it last did, since the latest claim or removal. */
  lookedAt: z.optional(timeSchema),
  /** When the health of an active instance is checked next; absent in rows that earlier versions have written. */
  healthCheckAt: z.optional(timeSchema),
  /** The later one of `removedTimes`; rows of earlier versions have it alone. */
  removedAt: z.optional(timeSchema),
  /** When its removal was last requested, by each clock; kept by every later state. Only moves forward. */
  removedTimes: z.optional(momentsSchema),
  /**
   * The event that requested the latest removal; `requestedBy` in a row that an earlier version has begun to remove.
   */
  removedBy: z.optional(eventOriginSchema),
  /** Events whose removal this row has begun, in this generation or an earlier one: the latest 10. */
  removalIds: z.optional(z.array(z.string())),
  /** Times of the removal under way; those of removals that were carried out are in `removedTimes` alone. */
  removingTimes: z.optional(momentsSchema),
  /** When the removal under way began here. */
  removingSince: z.optional(timeSchema),
  /** The name at creation, after an update has changed it: a late duplicate has it. */
  createdName: z.optional(z.string()),
  /** Kept when another event or a request follows: the toolkit still waits for the tenant's results. */
  registration: z.optional(registrationSchema),
  /** The latest events that were answered without a change, at most `maxNotices`. */
  notices: z.optional(z.array(noticeSchema)),
  /**
   * Of the latest result: only grows for a tenant's element, also after its row has ended. ms since the epoch, about.
   */
  revision: z.optional(timeSchema),
  /** Where the configuration comes from; absent when that is not known, as in rows of earlier versions. */
  source: z.optional(z.enum(['secret', 'request'])),
  /** Names of all configuration entries that requests have set. Only grows. */
  requestEntries: z.optional(z.array(z.string())),
  /**
   * Of the entries outside the allow-list that the latest request has set: names, and addresses. `in doubt` after an
   * update of unknown outcome: no request is the same one.
   */
  requestDigest: z.optional(z.string()),
  /** Until then an update whose outcome is unknown may still take effect. */
  updateInDoubtUntil: z.optional(timeSchema),
  /**
   * Values of allow-listed entries that updates of unknown outcome have sent, by name: the instance may have any of
   * them until a later update has surely set the entry.
   */
  valuesInDoubt: z.optional(z.record(z.string(), z.array(z.string()))),
  /** Until then an update from the secret whose outcome is unknown may still take effect. */
  secretInDoubtUntil: z.optional(timeSchema),
  /** When name, tags or configuration of the active instance were last changed. */
  changedAt: z.optional(timeSchema),
  /** When the tenant's secret was read whose value is surely there: an update in doubt leaves it as it was. */
  secretReadAt: z.optional(timeSchema),
  /** Earlier generations of which an instance may still appear; it is only ever removed. */
  formers: z.optional(z.array(formerSchema)),
  /**
   * The instance at Cloud Elements that an import has named: nothing but the removal of an active row that records it
   * deletes it.
   */
  importedId: z.optional(z.int()),
  /** When DynamoDB forgets a tombstone: seconds since the epoch, unlike all other times. On tombstones alone. */
  expiresAt: z.optional(timeSchema),
});

/** One row of the table: all that is known of a tenant's instance of one element. */
export const instanceRowSchema = z.extend(settledRowSchema, {
  /** Of an unfinished import, also while it is removed. */
  importing: z.optional(
    z.object({
      /** The failed row or tombstone that the import has replaced, and that returns if it cannot be finished. */
      before: z.optional(settledRowSchema),
      /** Markers that the instance had before, of an earlier instance of the tenant or set by hand. */
      markers: z.optional(z.array(z.string())),
      /** It cannot be finished: its markers are taken off again. */
      isEnding: z.optional(z.boolean()),
    }),
  ),
});
export type InstanceRow = z.infer<typeof instanceRowSchema>;

export const maxNotices = 10;

export const maxRemovalIds = 10;

export const maxFormers = 10;

/** A number of an item, exactly as it is stored; text where no double holds it, which no row's schema accepts. */
export function exactNumber(text: string): number | string {
  const value = Number(text);
  return String(value) === text ? value : text;
}

/**
 * Stands in place of a tenant's id in the items beside the rows: those of the audit, and one for each imported
 * instance. No tenant's id can be it.
 */
export const auditPartition = '*audit';

/**
 * Stands in place of an element's key in the row that remembers the removal of a whole tenant; no element key can be
 * it.
 */
export const wholeTenant = '*';

/** An instance as answers show it: Cloud Elements' field names, no token, no configuration, none of our tags. */
export function instanceView(
  row: InstanceSummary,
): Omit<Instance, 'status'> & Pick<InstanceSummary, 'status'> {
  return {
    tenantId: row.tenantId,
    element: { key: row.elementKey },
    id: row.instanceId,
    name: row.name,
    tags: row.tags,
    status: row.status,
    createdDate: new Date(row.createdAt).toISOString(),
    updatedDate: new Date(row.updatedAt).toISOString(),
    lastError: row.lastError && lastErrorView(row.lastError),
    health: row.health && healthView(row.health),
  };
}

export function lastErrorView({ code, detail, requestId, at }: z.infer<typeof lastErrorSchema>) {
  return { code, detail, requestId, at: new Date(at).toISOString() };
}
