import { createHash } from 'node:crypto';
import { decidesAddress } from './address-names.ts';
import { joinNamed } from './bounded-text.ts';
import { allowedKeys, defaultsOf, expectedOf, requiredKeys, type Catalog } from './catalog.ts';
import { leavesOf, textOf } from './entry-value.ts';
import { OnboardingError } from './errors.ts';
import type { Problem } from './responses.ts';
import type { Configuration, InstanceKey, InstanceRow } from './instance.ts';
import { pointerTo } from './validation.ts';

/**
 * Who may set which configuration entry. Cloud Elements merges every update into the entries it has, so a rule about
 * one request says nothing about the instance. These rules judge an instance by its whole life: a credential from a
 * tenant's secret is never at Cloud Elements beside a value that a caller chose, unless the element's allow-list names
 * that entry.
 */

/** Where an instance's configuration comes from, without any value of it. */
export type Provenance = Required<Pick<InstanceRow, 'source' | 'requestEntries'>> &
  Pick<InstanceRow, 'requestDigest'>;

/** A row, as far as the rules depend on it. */
type Configured = InstanceKey &
  Pick<InstanceRow, 'source' | 'requestEntries' | 'allowListed' | 'valuesInDoubt'>;

/**
 * Names of the entries that requests have set. Rows of earlier versions have only those that the allow-list named then:
 * it may have been tightened since.
 */
export function requestEntriesOf({
  requestEntries = [],
  allowListed,
}: Pick<InstanceRow, 'requestEntries' | 'allowListed'>): string[] {
  return [...new Set([...requestEntries, ...Object.keys(allowListed)])];
}

/** A tenant's stored credentials; `configuration` is undefined when there is none, and `absence` says why. */
export type TenantSecret = { name: string; configuration: Configuration | undefined; absence?: string };

/** The name of the tenant's secret for an element. */
export const tenantSecretName = (prefix: string, { tenantId, elementKey }: InstanceKey): string =>
  `${prefix}/tenants/${tenantId}/${elementKey}`;

/** What a request or an event wants to set. */
type Wanted = {
  elementKey: string;
  configuration: Configuration;
  /** The requesting event, if it is one. */
  requestedBy?: object | undefined;
};

/** Those of the entries that the element's allow-list does not name. For an element without a catalog entry, all. */
export function outsideAllowList(catalog: Catalog, elementKey: string, names: readonly string[]): string[] {
  const allowed = allowedKeys(catalog, elementKey);
  return names.filter((name) => !allowed.includes(name));
}

/**
 * Those of the entries that requests have set which no request may set now. The allow-list may have been tightened since:
 * a name may be gone from it, or a stored value no longer be of its form.
 */
export function notAllowedNow(catalog: Catalog, row: Configured): string[] {
  const { elementKey, allowListed, valuesInDoubt = {} } = row;
  const names = requestEntriesOf(row);
  const outside = new Set(outsideAllowList(catalog, elementKey, names));
  return names.filter((name) => {
    const values = [
      ...(Object.hasOwn(allowListed, name) ? [allowListed[name]] : []),
      ...doubtedValuesOf(valuesInDoubt, name),
    ];
    return (
      outside.has(name) || values.some((value) => expectedOf(catalog, elementKey, name, value) !== undefined)
    );
  });
}

/**
 * Those of the entries that requests have set which an operator has to vouch for: the ones above and, of an instance
 * that got its configuration from requests, those whose values are not known, because the list has named them only since.
 */
export function toVouchFor(catalog: Catalog, row: Configured): string[] {
  const outside = new Set(notAllowedNow(catalog, row));
  const isUnknown = (name: string) => row.source !== 'secret' && !Object.hasOwn(row.allowListed, name);
  return requestEntriesOf(row).filter((name) => outside.has(name) || isUnknown(name));
}

/**
 * The provenance of an instance that is created for this request. A request that sets one entry outside the allow-list
 * is the source of the whole configuration. An event never is: events are logged, archived and replayed, so no
 * credential belongs in one.
 */
export function provenanceOf(
  catalog: Catalog,
  { elementKey, configuration, requestedBy }: Wanted,
): Provenance {
  const names = Object.keys(configuration);
  const outside = outsideAllowList(catalog, elementKey, names);
  if (requestedBy !== undefined || outside.length === 0) {
    return { source: 'secret', requestEntries: names.filter((name) => !outside.includes(name)).toSorted() };
  }
  return {
    source: 'request',
    requestEntries: names.toSorted(),
    requestDigest: digestOf(outside, configuration),
  };
}

/**
 * Refuses an allowed entry whose value is not of its form, an event that sets an entry outside the allow-list, and a
 * request that does so without every required entry: the missing ones would have to come from the tenant's secret, which
 * could then be sent to a server of the caller's.
 * @throws OnboardingError `invalid-request`, `missing-configuration`
 */
export function assertAllowed(catalog: Catalog, wanted: Wanted): void {
  const refusal = refusalOf(catalog, wanted);
  if (refusal) throw refusal;
}

function refusalOf(
  catalog: Catalog,
  { elementKey, configuration, requestedBy }: Wanted,
): OnboardingError | undefined {
  const faults = formFaultsOf(catalog, elementKey, configuration);
  const outside = outsideAllowList(catalog, elementKey, Object.keys(configuration));
  if (outside.length > 0 && requestedBy !== undefined)
    return notAllowed(catalog, elementKey, outside, faults);
  const missing = missingIn(catalog, elementKey, configuration);
  if (outside.length === 0 || missing.length === 0) {
    return faults.length > 0
      ? new OnboardingError('invalid-request', inWords(faults), { problems: problemsOf(faults) })
      : undefined;
  }
  const [set, lacking] = [joinNamed(outside, ', '), missing.join(', ')];
  const message =
    `The request sets ${set}, so the tenant's secret is not used and ${lacking} is missing. Send ${lacking} in the same ` +
    `configuration; or leave out ${set} and put ${lacking} into the tenant's secret, beside which a request may set ` +
    `${allowedInWords(catalog, elementKey)}.`;
  return new OnboardingError(
    faults.length > 0 ? 'invalid-request' : 'missing-configuration',
    [...(faults.length > 0 ? [inWords(faults)] : []), message].join(' '),
    {
      problems: problemsOf([...faults, ...outsideFaults(catalog, elementKey, outside)]),
      missing: missing.map(placeOf),
    },
  );
}

type Fault = { name: string; detail: string };

/** Allowed entries whose values are not of their form. */
function formFaultsOf(catalog: Catalog, elementKey: string, configuration: Configuration): Fault[] {
  return Object.entries(configuration).flatMap(([name, value]) => {
    const expected = expectedOf(catalog, elementKey, name, value);
    return expected === undefined ? [] : [{ name, detail: `expected ${expected}` }];
  });
}

/** Of a refused event the message is all that is kept. */
const inWords = (faults: readonly Fault[]): string =>
  `The configuration is not valid: ${joinNamed(
    faults.map(({ name, detail }) => `${name} ${detail}`),
    '; ',
  )}.`;

const problemsOf = (faults: readonly Fault[]): Problem[] =>
  faults.map(({ name, detail }) => ({ pointer: pointerTo(['configuration', name]), detail }));

const placeOf = (name: string): string => `configuration.${name}`;

/**
 * As `assertAllowed`, for who may read the tenant's secret: also names the missing entries.
 * @throws OnboardingError `invalid-request`, `missing-configuration`
 */
export async function assertAllowedFor(
  catalog: Catalog,
  settings: ForInstance,
  readTenantSecret: () => Promise<TenantSecret>,
): Promise<void> {
  const refusal = refusalOf(catalog, settings);
  if (!refusal) return;
  // The request is refused whether or not the secret can be read.
  const secret = settings.source === 'secret' && (await readTenantSecret().catch(() => undefined));
  const lack = secret ? lackOf(catalog, settings, secret) : undefined;
  if (!lack) throw refusal;
  throw new OnboardingError(refusal.code, `${refusal.message} ${lack.message}`, {
    ...refusal.facts,
    ...lack.facts,
  });
}

type ForInstance = Wanted & InstanceKey & Pick<Provenance, 'source'>;

/** What neither the request nor the tenant's secret has. */
function lackOf(catalog: Catalog, settings: ForInstance, secret: TenantSecret): OnboardingError | undefined {
  const configuration = { ...secret.configuration, ...settings.configuration };
  const missing = missingIn(catalog, settings.elementKey, configuration);
  if (missing.length === 0) return undefined;
  // An event may not bring credentials.
  const ways =
    settings.requestedBy === undefined ? "send it in the request's configuration, or put it" : 'put it';
  return missingConfiguration(
    `Tenant ${settings.tenantId} cannot get its ${settings.elementKey} instance without ${missing.join(', ')}: ` +
      `${ways} into the secret ${secret.name} (which ${secret.absence ?? 'lacks it'}) and retry.`,
    missing,
  );
}

/**
 * The configuration to create an instance with: the request's alone, or the tenant's secret overlaid by entries of the
 * allow-list.
 * @param readTenantSecret called only if the secret is the source; undefined when there is no such secret
 * @throws OnboardingError `missing-configuration`, naming every entry that is missing, or as `assertAllowed`
 */
export async function configurationFor(
  catalog: Catalog,
  settings: ForInstance,
  readTenantSecret: () => Promise<TenantSecret>,
): Promise<Configuration> {
  await assertAllowedFor(catalog, settings, readTenantSecret);
  const defaults = defaultsOf(catalog, settings.elementKey);
  if (settings.source === 'request') return { ...defaults, ...settings.configuration };
  const secret = await readTenantSecret();
  const lack = lackOf(catalog, settings, secret);
  if (lack) throw lack;
  return { ...defaults, ...secret.configuration, ...settings.configuration };
}

/** The required entries that neither the configuration nor the element's defaults have. */
function missingIn(catalog: Catalog, elementKey: string, configuration: Configuration): string[] {
  const complete = { ...defaultsOf(catalog, elementKey), ...configuration };
  return requiredKeys(catalog, elementKey).filter((name) => !Object.hasOwn(complete, name));
}

/**
 * The configuration to update an instance with. An empty `configuration` requests the tenant's secret, which is sent
 * only to an instance that got its credentials from there and of which requests have set nothing but entries that the
 * allow-list names today. What requests have set stays as it is.
 * @throws OnboardingError `invalid-request`, `missing-configuration`, `configuration-from-request`,
 * `configuration-unknown`
 */
export async function updatedConfiguration(
  catalog: Catalog,
  row: Configured,
  configuration: Configuration,
  readTenantSecret: () => Promise<TenantSecret>,
): Promise<Configuration> {
  const { elementKey } = row;
  const faults = formFaultsOf(catalog, elementKey, configuration);
  const names = Object.keys(configuration);
  const outside = outsideAllowList(catalog, elementKey, names);
  if (faults.length > 0) {
    if (outside.length > 0 && row.source === 'secret') throw notAllowed(catalog, elementKey, outside, faults);
    throw new OnboardingError('invalid-request', inWords(faults), { problems: problemsOf(faults) });
  }
  const remembered = notAllowedNow(catalog, row);
  if (names.length > 0 && outside.length === 0) return configuration;
  switch (row.source) {
    case undefined:
      throw configurationUnknown(catalog, row);
    case 'secret':
      if (outside.length > 0) throw notAllowed(catalog, elementKey, outside);
      if (remembered.length > 0) throw configurationFromRequest(catalog, row, remembered);
      return secretFor(catalog, row, await readTenantSecret());
    case 'request': {
      if (outside.length === 0) throw configurationFromRequest(catalog, row, remembered);
      const kept = remembered.filter((name) => !Object.hasOwn(configuration, name));
      const missing = [...new Set([...missingIn(catalog, elementKey, configuration), ...kept])].toSorted();
      if (missing.length === 0) return configuration;
      throw missingConfiguration(
        `${nameOf(row)} got its configuration from requests, and ${joinNamed(outside, ', ')} can only be changed together ` +
          `with everything else that they have set: ${joinNamed(missing, ', ')} is missing.`,
        missing,
      );
    }
  }
}

/** The tenant's secret as it is sent in an update, without entries of the allow-list that requests have set. */
function secretFor(catalog: Catalog, row: Configured, secret: TenantSecret): Configuration {
  const stored = secret.configuration ?? {};
  const missing = missingIn(catalog, row.elementKey, { ...stored, ...row.allowListed });
  const configuration = Object.fromEntries(
    Object.entries(stored).filter(([name]) => !Object.hasOwn(row.allowListed, name)),
  );
  if (missing.length === 0 && Object.keys(configuration).length > 0) return configuration;
  const lacks = missing.length > 0 ? `lacks ${missing.join(', ')}` : 'holds nothing to send';
  throw missingConfiguration(
    `The secret ${secret.name} ${secret.absence ?? lacks}. Put the configuration of the ` +
      `tenant's ${row.elementKey} instance into it and retry.`,
    missing,
  );
}

/**
 * An update may carry entries that requests are remembered by from then on. Written before anything is sent, because
 * an update may take effect although its outcome says otherwise.
 */
export function withRequestEntries(
  { requestEntries }: Pick<InstanceRow, 'requestEntries'>,
  configuration: Configuration,
): string[] {
  return [...new Set([...(requestEntries ?? []), ...Object.keys(configuration)])].toSorted();
}

/** Own ones alone: an entry may be named `constructor`. */
const doubtedValuesOf = (
  valuesInDoubt: NonNullable<InstanceRow['valuesInDoubt']>,
  name: string,
): readonly string[] => (Object.hasOwn(valuesInDoubt, name) ? (valuesInDoubt[name] ?? []) : []);

/** The values in doubt while an update with these allow-listed entries is under way. */
export function withValuesInDoubt(
  { valuesInDoubt = {} }: Pick<InstanceRow, 'valuesInDoubt'>,
  sent: Readonly<Record<string, string>>,
): InstanceRow['valuesInDoubt'] {
  const added = Object.entries(sent).map(([name, value]) => [
    name,
    [...new Set([...doubtedValuesOf(valuesInDoubt, name), value])],
  ]);
  return { ...valuesInDoubt, ...Object.fromEntries(added) };
}

/** The values in doubt after an update that has surely set these entries. */
export function withoutValuesInDoubt(
  { valuesInDoubt = {} }: Pick<InstanceRow, 'valuesInDoubt'>,
  set: Configuration,
): InstanceRow['valuesInDoubt'] {
  const left = Object.entries(valuesInDoubt).filter(([name]) => !Object.hasOwn(set, name));
  return left.length > 0 ? Object.fromEntries(left) : undefined;
}

/** While an update of unknown outcome may take effect, and after it has: no request's digest. */
export const digestInDoubt = 'in doubt';

/** After an update that has taken effect. Entries of the allow-list alone leave it as it was. */
export function updatedDigest(
  catalog: Catalog,
  { elementKey, requestDigest }: Pick<InstanceRow, 'elementKey' | 'requestDigest'>,
  configuration: Configuration,
): string | undefined {
  const outside = outsideAllowList(catalog, elementKey, Object.keys(configuration));
  return outside.length === 0 ? requestDigest : digestOf(outside, configuration);
}

/**
 * SHA-256 over the names of entries outside the allow-list and, of those that decide an address, the value: two
 * requests with other names or other addresses are not the same request. No credential enters it.
 */
export function digestOf(names: readonly string[], configuration: Configuration): string {
  const entries = names.toSorted().map((name) => {
    const addresses = leavesOf(configuration[name]).flatMap((inside) => {
      const deciding = inside.names.findLast(decidesAddress) ?? name;
      return addressIn(deciding, textOf(inside.leaf)) ?? [];
    });
    return [name, ...addresses.toSorted()];
  });
  return createHash('sha256').update(JSON.stringify(entries)).digest('base64url');
}

/**
 * The address that an entry holds, by its name or as a URL: without user info, query and fragment, each of which may
 * hold a credential. Of a URL under another name only its origin: the path may be one, too.
 */
function addressIn(name: string, value: string): string | undefined {
  const text = value.trim();
  const url = URL.parse(text);
  if (!decidesAddress(name)) return url?.host ? `${url.protocol}//${url.host}` : undefined;
  const parsed = url?.host ? url : URL.parse(`https://${text}`);
  if (parsed) return `${parsed.protocol}//${parsed.host}${parsed.pathname}`;
  return text.replace(/[?#].*/s, '').replace(/.*@/s, '');
}

function notAllowed(
  catalog: Catalog,
  elementKey: string,
  outside: readonly string[],
  faults: readonly Fault[] = [],
): OnboardingError {
  // Names the entries itself: of a refused event the message is all that is kept.
  const message = `The configuration ${joinNamed(outside, ', ')} ${ruleOf(catalog, elementKey)}.`;
  return new OnboardingError(
    'invalid-request',
    [message, ...(faults.length > 0 ? [inWords(faults)] : [])].join(' '),
    { problems: problemsOf([...faults, ...outsideFaults(catalog, elementKey, outside)]) },
  );
}

const outsideFaults = (catalog: Catalog, elementKey: string, outside: readonly string[]): Fault[] =>
  outside.map((name) => ({ name, detail: ruleOf(catalog, elementKey) }));

function ruleOf(catalog: Catalog, elementKey: string): string {
  const allowed = allowedKeys(catalog, elementKey);
  const expected = allowed.length === 0 ? 'none' : allowed.join(', ');
  return `cannot be set where the tenant's secret supplies the credentials (allowed: ${expected})`;
}

function missingConfiguration(message: string, names: readonly string[]): OnboardingError {
  return new OnboardingError('missing-configuration', message, {
    missing: names.map(placeOf),
  });
}

const waysToTheSecret =
  "To move it to the tenant's secret, DELETE it and POST it again without configuration, which makes another token, " +
  'or have the operator vouch for it with "npm run trust", which keeps id and token.';

function configurationFromRequest(
  catalog: Catalog,
  row: Configured,
  names: readonly string[],
): OnboardingError {
  const outside = outsideAllowList(catalog, row.elementKey, names);
  const ways =
    outside.length > 0
      ? waysToTheSecret
      : `Its list of accepted values has changed: set ${joinNamed(names, ', ')} to a value that is accepted now with PATCH.`;
  return new OnboardingError(
    'configuration-from-request',
    `${nameOf(row)} got configuration from requests (${joinNamed(names, ', ')}), so the tenant's secret is never sent to ` +
      `it. ${ways}`,
  );
}

function configurationUnknown(catalog: Catalog, row: Configured): OnboardingError {
  return new OnboardingError(
    'configuration-unknown',
    `${nameOf(row)} got its configuration from a source that is not known, so the tenant's secret is never sent to ` +
      `it, and a change may set ${allowedInWords(catalog, row.elementKey)}. ${waysToTheSecret}`,
  );
}

function allowedInWords(catalog: Catalog, elementKey: string): string {
  const allowed = allowedKeys(catalog, elementKey);
  return allowed.length === 0 ? 'no configuration' : `only ${allowed.join(', ')}`;
}

function nameOf({ tenantId, elementKey }: InstanceKey): string {
  return `The ${elementKey} instance of tenant ${tenantId}`;
}
