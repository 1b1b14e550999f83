import { allowedKeys, isCatalogued, requiredKeys } from './catalogue.ts';
import { OnboardingError } from './errors.ts';
import type { Configuration, InstanceSettings } from './instance.ts';
import { pointerTo } from './problems.ts';

type CredentialBearer = Pick<InstanceSettings, 'elementKey' | 'configuration' | 'askedBy'>;

/**
 * Does the request bring its own credentials? Then the tenant's secret is not read at all, and the request may set
 * what it likes. For an element outside the catalogue nobody knows which entries are credentials: any entry counts.
 * An event never does: events are logged, archived and replayed, so no credential belongs in one.
 */
function bringsCredentials({ elementKey, configuration, askedBy }: CredentialBearer): boolean {
  if (askedBy) return false;
  return isCatalogued(elementKey)
    ? requiredKeys(elementKey).every((key) => Object.hasOwn(configuration, key))
    : Object.keys(configuration).length > 0;
}

/**
 * Refuses entries that may not go together with the tenant's stored credentials: whoever could set `base.url` beside
 * them could have them sent to a server of his own.
 * @throws OnboardingError `invalid-request`
 */
export function assertAllowed(settings: CredentialBearer): void {
  if (bringsCredentials(settings)) return;
  const allowed = allowedKeys(settings.elementKey);
  const refused = Object.keys(settings.configuration).filter((key) => !allowed.includes(key));
  if (refused.length === 0) return;
  const expected = allowed.length === 0 ? 'none' : allowed.join(', ');
  const rule = `cannot be set where the tenant's secret supplies the credentials (allowed: ${expected})`;
  // Names the entries itself: of a refused event the message is all that is kept.
  throw new OnboardingError('invalid-request', `The configuration ${refused.join(', ')} ${rule}.`, {
    problems: refused.map((key) => ({ pointer: pointerTo(['configuration', key]), detail: rule })),
  });
}

/**
 * The configuration to send: the tenant's secret, overlaid by the request.
 * @param readTenantSecret called only if the request brings no credentials; undefined when there is no such secret
 * @throws OnboardingError `missing-configuration`, naming every entry that is missing, or as `assertAllowed`
 */
export async function configurationFor(
  settings: InstanceSettings,
  readTenantSecret: () => Promise<{ name: string; configuration: Configuration | undefined }>,
): Promise<Configuration> {
  if (bringsCredentials(settings)) return settings.configuration;
  assertAllowed(settings);
  const secret = await readTenantSecret();
  const configuration = { ...secret.configuration, ...settings.configuration };
  const missing = requiredKeys(settings.elementKey).filter((key) => !Object.hasOwn(configuration, key));
  if (missing.length === 0) return configuration;
  throw new OnboardingError(
    'missing-configuration',
    `Tenant ${settings.tenantId} cannot get its ${settings.elementKey} instance without ${missing.join(', ')}: ` +
      `send it in the request's configuration, or put it into the secret ${secret.name} ` +
      `(${secret.configuration ? 'which lacks it' : 'which does not exist'}) and ask again.`,
    { missing: missing.map((key) => `configuration.${key}`) },
  );
}

/**
 * The configuration to send for a change. Beside the credentials that Cloud Elements has already, a request may set
 * only what is harmless; a tenant's secret, if there is one, goes along, so that a new key in it takes effect.
 * @throws OnboardingError as `assertAllowed`
 */
export async function changedConfiguration(
  { elementKey }: { elementKey: string },
  configuration: Configuration,
  readTenantSecret: () => Promise<{ configuration: Configuration | undefined }>,
): Promise<Configuration> {
  const settings = { elementKey, configuration };
  if (bringsCredentials(settings)) return configuration;
  assertAllowed(settings);
  const secret = await readTenantSecret();
  return { ...secret.configuration, ...configuration };
}
