import type { EnvironmentName } from '../functions/model/environment.ts';
import type { Elements } from '../functions/model/elements.ts';
import type { Uses } from '../functions/triggers.ts';
import { environmentOfElements } from './elements.ts';

/** Identifiers of the deployed (or local) resources: CDK tokens or plain strings. */
export type Resources = {
  tableName: string;
  busName: string;
  platformSecretId: string;
  tenantSecretsPrefix: string;
  tokenKeyId: string;
  cloudElementsBaseUrl: string;
  stage: string;
  /** Absent: the toolkit's own. */
  sbtApplicationPlaneSource?: string | undefined;
  /** The deployer's, beside those that come with the service. */
  elements?: Elements | undefined;
};

/** The environment of a function: the stage, and the resources in its `uses`. */
export function environmentFor(uses: Uses, resources: Resources): Partial<Record<EnvironmentName, string>> {
  const elements = uses.elements ? environmentOfElements(resources.elements) : undefined;
  return {
    STAGE: resources.stage,
    ...((uses.table ?? uses.index) && { TABLE_NAME: resources.tableName }),
    ...(uses.bus && { EVENT_BUS_NAME: resources.busName }),
    ...(uses.bus &&
      resources.sbtApplicationPlaneSource !== undefined && {
        SBT_APPLICATION_PLANE_SOURCE: resources.sbtApplicationPlaneSource,
      }),
    ...(uses.secrets?.includes('platform') && { PLATFORM_SECRET_ID: resources.platformSecretId }),
    ...(uses.secrets?.includes('tenants') && { TENANT_SECRETS_PREFIX: resources.tenantSecretsPrefix }),
    ...(uses.tokenKey && { TOKEN_KEY_ID: resources.tokenKeyId }),
    ...(uses.cloudElements && { CLOUD_ELEMENTS_BASE_URL: resources.cloudElementsBaseUrl }),
    ...(elements !== undefined && { ELEMENTS: elements }),
  };
}
