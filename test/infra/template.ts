import { Aws } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { Code } from 'aws-cdk-lib/aws-lambda';
import * as z from 'zod/mini';
import { type Trigger, triggers } from '../../functions/triggers.ts';
import type { Settings } from '../../infra/settings.ts';
import { OnboardingStack } from '../../infra/stack.ts';
import { newApp } from './new-app.ts';

/** The templates of two stages, and functions that find resources in them. */

export const rows: [string, Trigger][] = Object.entries(triggers);
export const queueRows = rows.flatMap(([name, { queue: trigger }]) => (trigger ? [{ name, trigger }] : []));
export const streamRows = rows.flatMap(([name, { stream: trigger }]) => (trigger ? [{ name, trigger }] : []));

function synthesise(
  stage: string,
  more: Partial<Settings> = {},
): { stack: OnboardingStack; template: Template } {
  const stack = new OnboardingStack(newApp(), {
    settings: { stage, baseUrl: 'https://api.cloud-elements.com', ...more },
    // The code of a function is its name, which identifies it in the template.
    code: (name) => Code.fromInline(name),
  });
  return { stack, template: Template.fromStack(stack) };
}

export const { stack, template } = synthesise('dev');
/** With a topic, because its absence gives a warning. */
export const production = synthesise('prod', {
  alarmTopicArn: 'arn:aws:sns:eu-west-1:123456789012:alarms',
}).template;

const resourceSchema = z.object({
  /** Different for every type; tests compare the values that they read. */
  Properties: z.any(),
  DeletionPolicy: z.optional(z.string()),
  UpdateReplacePolicy: z.optional(z.string()),
});

export const resources = (type: string, of = template) =>
  Object.entries(of.findResources(type)).map(([id, resource]) => ({ id, ...resourceSchema.parse(resource) }));

/** The only resource of its type. */
export function only(type: string, of = template) {
  const [resource, ...others] = resources(type, of);
  if (!resource || others.length > 0) throw new Error(`Expected one ${type}, found ${others.length + 1}`);
  return resource;
}

export function withId(type: string, id: string) {
  const found = resources(type).find((resource) => resource.id === id);
  if (!found) throw new Error(`No ${type} ${id} in the template`);
  return found;
}

export function functionNamed(name: string) {
  const found = resources('AWS::Lambda::Function').find(({ Properties }) => Properties.Code.ZipFile === name);
  if (!found) throw new Error(`No function ${name} in the template`);
  return found;
}

export const arnOf = (id: string) => ({ 'Fn::GetAtt': [id, 'Arn'] });
export const table = only('AWS::DynamoDB::Table');
export const tokenKey = only('AWS::KMS::Key');
/** A secret by the last part of its name. */
export function secretNamed(name: string, of = template) {
  const found = resources('AWS::SecretsManager::Secret', of).find(({ Properties }) =>
    String(Properties.Name).endsWith(`/${name}`),
  );
  if (!found) throw new Error(`No secret ${name} in the template`);
  return found;
}

export const platformSecret = secretNamed('platform');
export const bus = only('AWS::Events::EventBus');
const queueWithArn = (arn: { 'Fn::GetAtt': [string] }) => withId('AWS::SQS::Queue', arn['Fn::GetAtt'][0]);

/** The only event source mapping of a function. */
export function mappingOf(name: string) {
  const [mapping, ...others] = resources('AWS::Lambda::EventSourceMapping').filter(
    ({ Properties }) => Properties.FunctionName.Ref === functionNamed(name).id,
  );
  if (!mapping || others.length > 0) throw new Error(`Expected one mapping of ${name}`);
  return mapping;
}

/** The queue of a function with a queue trigger. */
export function queueOf(name: string) {
  const eventQueue = queueWithArn(mappingOf(name).Properties.EventSourceArn);
  return { eventQueue, deadLetters: queueWithArn(eventQueue.Properties.RedrivePolicy.deadLetterTargetArn) };
}

/** The dead-letter queue of a function with a stream trigger. */
export const streamDeadLettersOf = (name: string) =>
  queueWithArn(mappingOf(name).Properties.DestinationConfig.OnFailure.Destination);

const listSchema = z.pipe(
  z.unknown(),
  z.transform((value): unknown[] => (Array.isArray(value) ? value : [value])),
);
const allowanceSchema = z.object({
  Effect: z.literal('Allow'),
  Principal: z.optional(z.unknown()),
  Action: z.pipe(listSchema, z.array(z.string())),
  Resource: listSchema,
  Condition: z.optional(z.unknown()),
});

/** Every allow statement, in any policy. */
export function allowancesIn(part: unknown): z.infer<typeof allowanceSchema>[] {
  const found: z.infer<typeof allowanceSchema>[] = [];
  JSON.stringify(part, (_key, value: unknown) => {
    const allowance = allowanceSchema.safeParse(value);
    if (allowance.success) found.push(allowance.data);
    return value;
  });
  return found;
}

/** The allow statements of a function's role. */
export function allowancesOf(name: string) {
  const [roleId] = functionNamed(name).Properties.Role['Fn::GetAtt'];
  return allowancesIn(
    resources('AWS::IAM::Policy').filter(({ Properties }) =>
      Properties.Roles.some((role: { Ref: string }) => role.Ref === roleId),
    ),
  );
}

export const tenantSecretsArn = stack.resolve(
  `arn:${Aws.PARTITION}:secretsmanager:${Aws.REGION}:${Aws.ACCOUNT_ID}:secret:element-onboarding/dev/tenants/*`,
);

const named = new Map([
  [JSON.stringify(arnOf(table.id)), 'table'],
  [JSON.stringify({ 'Fn::Join': ['', [arnOf(table.id), '/index/unsettled']] }), 'index'],
  [JSON.stringify({ 'Fn::Join': ['', [arnOf(table.id), '/index/instances']] }), 'index of instances'],
  [JSON.stringify({ 'Fn::GetAtt': [table.id, 'StreamArn'] }), 'stream'],
  [JSON.stringify(arnOf(bus.id)), 'bus'],
  [JSON.stringify(arnOf(tokenKey.id)), 'token key'],
  [JSON.stringify({ Ref: platformSecret.id }), 'platform secret'],
  [JSON.stringify(tenantSecretsArn), 'tenant secrets'],
]);

/** The allowed actions of a function's role with their resources: `kms:Encrypt token key`. */
export function permissionsOf(name: string): string[] {
  const own = new Map([
    [JSON.stringify(arnOf(functionNamed(name).Properties.LoggingConfig.LogGroup.Ref)), 'its log group'],
    ...queueRows
      .filter((row) => row.name === name)
      .map((): [string, string] => [JSON.stringify(arnOf(queueOf(name).eventQueue.id)), 'queue']),
    ...streamRows
      .filter((row) => row.name === name)
      .map((): [string, string] => [JSON.stringify(arnOf(streamDeadLettersOf(name).id)), 'dead letters']),
  ]);
  return allowancesOf(name).flatMap(({ Action, Resource }) =>
    Action.flatMap((action) =>
      Resource.map((resource) => JSON.stringify(resource)).map(
        (resource) => `${action} ${own.get(resource) ?? named.get(resource) ?? resource}`,
      ),
    ),
  );
}
