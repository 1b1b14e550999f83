/** The outputs of a stage, by name: the construct writes them, the commands read them. Plain data. */

/** Of the stack, and of what a stage has once in an account: API, bus, alarms. */
export const stackNameOf = (stage: string): string => `element-onboarding-${stage}`;

/** Descriptions by name. */
export const outputs = {
  ApiUrl: 'Where the HTTP API answers, to requests signed with SigV4',
  CloudElementsUrl: 'Origin of the Cloud Elements that holds the instances',
  DashboardUrl: 'The service at a glance, in the console of CloudWatch',
  EventBusName: 'Bus that takes TenantOnboarded and the like',
  TableName: 'Table of the instances, one item per tenant and element',
  PlatformSecretName: 'Secret to be filled in; it says with what',
  RuntimeSecretName: 'Secret for applications that call elements; optional, to be filled in',
  TenantSecretPrefix:
    'A tenant\'s secret is named <this>/<tenantId>/<elementKey> and holds JSON such as {"api.key": "…"}',
} as const;

type QueueOutput = `${string}QueueUrl`;
export type OutputName = keyof typeof outputs | QueueOutput;

/** Of a function's queue: `onboard-tenants` → `OnboardTenantsQueueUrl`. */
export const queueOutput = (functionName: string): QueueOutput => `${inPascalCase(functionName)}QueueUrl`;

export const deadLetterOutput = (functionName: string): QueueOutput =>
  `${inPascalCase(functionName)}DeadLetterQueueUrl`;

/** The local stack has no outputs: this is the name of the queue there. */
export const localDeadLetterQueue = (functionName: string): string => `${functionName}-dead-letters`;

const inPascalCase = (name: string): string =>
  name.replaceAll(/(?:^|-)(.)/g, (_match, letter: string) => letter.toUpperCase());
