import { SecretsManagerClient } from '@aws-sdk/client-secrets-manager';
import * as z from 'zod/mini';
import { clientOptions } from '../adapters/aws.ts';
import { createCloudElementsCaller } from '../adapters/cloud-elements-http.ts';
import { createCloudElements } from '../adapters/cloud-elements.ts';
import { createPing } from '../adapters/cloud-elements-ping.ts';
import { createPlatformCredentials, createTenantSecrets } from '../adapters/secrets.ts';
import { createApplying } from '../core/apply-secret.ts';
import { createAuditing } from '../core/audit.ts';
import { createChecking } from '../core/check.ts';
import { createUpdating } from '../core/update.ts';
import { createImporting } from '../core/import.ts';
import { createOffboarding } from '../core/offboard.ts';
import { createOnboarding } from '../core/onboard.ts';
import { createProvisioning } from '../core/provision.ts';
import { createReconciling } from '../core/reconcile.ts';
import { createRemoving } from '../core/remove.ts';
import { catalogWith } from '../model/built-in-catalog.ts';
import type { Catalog } from '../model/catalog.ts';
import { openAuditProgress, openCipher, openImportedIds, openStore } from './ports.ts';
import { elementsFrom } from '../model/elements.ts';
import { environmentSchema, parseEnvironment } from '../model/environment.ts';
import { logCall } from './log.ts';
import { measureCall } from './metrics.ts';
import { observe } from './observations.ts';

/**
 * The use cases that call Cloud Elements, with everything they work with. In a file of its own because undici cannot
 * be shaken out of a bundle: functions that never call Cloud Elements do not import this one.
 */

export function openProvisioning(environment: NodeJS.ProcessEnv) {
  return createProvisioning({
    ...openConfiguring(environment),
    cipher: openCipher(environment),
  });
}

export function openOnboarding(environment: NodeJS.ProcessEnv) {
  return createOnboarding({ provision: openProvisioning(environment), observe });
}

export function openUpdating(environment: NodeJS.ProcessEnv) {
  return createUpdating(openConfiguring(environment));
}

export function openApplying(environment: NodeJS.ProcessEnv) {
  // One of each for both: connections, and the platform secret that is cached.
  const ports = { ...openConfiguring(environment), cipher: openCipher(environment) };
  return createApplying({
    store: ports.store,
    catalog: ports.catalog,
    update: createUpdating(ports),
    provision: createProvisioning(ports),
    tenantSecretsPrefix: tenantSecretsPrefixIn(environment),
    observe,
  });
}

export function openRemoving(environment: NodeJS.ProcessEnv) {
  return createRemoving(openCloudElements(environment));
}

export function openOffboarding(environment: NodeJS.ProcessEnv) {
  return createOffboarding(openCloudElements(environment));
}

export function openImporting(environment: NodeJS.ProcessEnv) {
  return createImporting({
    ...openCloudElements(environment),
    importedIds: openImportedIds(environment),
    cipher: openCipher(environment),
  });
}

export function openReconciling(environment: NodeJS.ProcessEnv) {
  return createReconciling({
    ...openCloudElements(environment),
    importedIds: openImportedIds(environment),
    cipher: openCipher(environment),
  });
}

export function openChecking(environment: NodeJS.ProcessEnv) {
  const catalog = catalogIn(environment);
  const { call, ...ports } = openCloudElements(environment);
  return createChecking({ ...ports, catalog, ping: createPing({ call }) });
}

export function openAuditing(environment: NodeJS.ProcessEnv) {
  return createAuditing({
    ...openCloudElements(environment),
    progress: openAuditProgress(environment),
    cipher: openCipher(environment),
  });
}

/** For use cases that send a configuration. */
function openConfiguring(environment: NodeJS.ProcessEnv) {
  const catalog = catalogIn(environment);
  const secretsClient = new SecretsManagerClient(clientOptions);
  const prefix = tenantSecretsPrefixIn(environment);
  return {
    ...openCloudElements(environment, { catalog, secretsClient }),
    catalog,
    readTenantSecret: createTenantSecrets({ client: secretsClient, prefix }),
  };
}

function catalogIn(environment: NodeJS.ProcessEnv): Catalog {
  const { ELEMENTS } = parseEnvironment(z.pick(environmentSchema, { ELEMENTS: true }), environment);
  return catalogWith(ELEMENTS === undefined ? {} : elementsFrom(ELEMENTS));
}

/** @param catalog for use cases that send a configuration; without it the bundle has no table of elements */
function openCloudElements(
  environment: NodeJS.ProcessEnv,
  {
    catalog = new Map(),
    secretsClient = new SecretsManagerClient(clientOptions),
  }: { catalog?: Catalog; secretsClient?: SecretsManagerClient } = {},
) {
  const names = { CLOUD_ELEMENTS_BASE_URL: true, PLATFORM_SECRET_ID: true, STAGE: true } as const;
  const {
    CLOUD_ELEMENTS_BASE_URL: baseUrl,
    PLATFORM_SECRET_ID: secretId,
    STAGE: stage,
  } = parseEnvironment(z.pick(environmentSchema, names), environment);
  const credentials = createPlatformCredentials({ client: secretsClient, secretId });
  const call = createCloudElementsCaller({
    baseUrl,
    credentials,
    onCall: (each) => {
      logCall(each);
      measureCall(each);
    },
  });
  return {
    store: openStore(environment),
    call,
    cloudElements: createCloudElements({ call, catalog }),
    origin: baseUrl,
    stage,
    observe,
  };
}

function tenantSecretsPrefixIn(environment: NodeJS.ProcessEnv): string {
  const names = { TENANT_SECRETS_PREFIX: true } as const;
  return parseEnvironment(z.pick(environmentSchema, names), environment).TENANT_SECRETS_PREFIX;
}
