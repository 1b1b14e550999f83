import { onThisMachine, outputsOf, type ClientSettings } from './onboard/target.ts';

/** The platform secret of a stage, and the Cloud Elements that it is for: it is sent nowhere else. */
export type Platform = { baseUrl: string; secretId: string; settings: ClientSettings };

/** @throws TargetError the stack cannot be looked at, or has been deployed before it had these outputs */
export async function platformOf(where: { stage: string } | { localPort: number }): Promise<Platform> {
  if ('localPort' in where) {
    // The ports and names of `npm start`.
    return {
      baseUrl: `http://127.0.0.1:${where.localPort + 3}`,
      secretId: 'element-onboarding/platform',
      settings: onThisMachine(where.localPort + 1),
    };
  }
  const output = await outputsOf(where.stage);
  return { baseUrl: output('CloudElementsUrl'), secretId: output('PlatformSecretName'), settings: {} };
}
