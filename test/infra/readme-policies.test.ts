import { expect, test } from 'vitest';
import * as z from 'zod/mini';
import { blocksOf, everyPage, pageAt } from '../support/pages.ts';
import { production, only, rows, secretNamed } from './template.ts';

/**
 * The IAM policies that the pages give as examples, for the stack with the stage `prod`, and their statements about
 * access to tokens.
 */

const policySchema = z.object({
  Version: z.literal('2012-10-17'),
  Statement: z.array(
    z.object({
      Sid: z.string(),
      Effect: z.enum(['Allow', 'Deny']),
      Action: z.union([z.string(), z.array(z.string())]),
      Resource: z.union([z.string(), z.array(z.string())]),
      Condition: z.optional(z.unknown()),
    }),
  ),
});

const statements = blocksOf(everyPage, 'json')
  .map((text) => policySchema.safeParse(JSON.parse(text)))
  .flatMap(({ data }) => data?.Statement ?? []);

function statementNamed(sid: string, effect: 'Allow' | 'Deny' = 'Allow') {
  const [statement, ...others] = statements.filter(({ Sid, Effect }) => Sid === sid && Effect === effect);
  if (!statement || others.length > 0) throw new Error(`Expected one ${effect} ${sid} in the pages.`);
  return statement;
}

/** As IAM compares them: `*` is any text, slashes and all, and `?` one character. */
function isMatch(patterns: string | string[], arn: string): boolean {
  return [patterns].flat().some((pattern) => {
    const escaped = pattern.replaceAll(/[\\^$.|+()[\]{}]/g, String.raw`\$&`);
    return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`).test(arn);
  });
}

const inAccount = 'eu-west-1:111122223333';

/** The ARNs that IAM checks for every route, for some tenants and elements, with the path as it was sent. */
const requestArns = rows.flatMap(([, { http }]) => {
  const [method, path = ''] = http?.split(' ') ?? [];
  if (!method) return [];
  return ['acme', 'acme2', 'globex'].flatMap((tenantId) =>
    ['taxify', 'freshdeskv2'].map((elementKey) => {
      const sent = path.replace('{tenantId}', tenantId).replace('{elementKey}', elementKey);
      return `arn:aws:execute-api:${inAccount}:a1b2c3d4e5/$default/${method}${sent}`;
    }),
  );
});

/** Secrets Manager ends it with six characters of its own. */
const secretArn = (name: string) => `arn:aws:secretsmanager:${inAccount}:secret:${name}-a1B2c3`;

test('the application’s policy allows reading one tenant’s token and no other call', () => {
  const { Action, Resource } = statementNamed('ReadTokenOfAcme');
  expect(Action).toBe('execute-api:Invoke');
  expect(requestArns.filter((arn) => isMatch(Resource, arn))).toEqual([
    `arn:aws:execute-api:${inAccount}:a1b2c3d4e5/$default/GET/tenants/acme/instances/taxify/token`,
  ]);
  // The API has the stage in that ARN.
  expect(only('AWS::ApiGatewayV2::Stage', production).Properties.StageName).toBe('$default');
});

test('the dashboard’s policy allows reading every tenant’s instances and no token, however the path is written', () => {
  const [granted, denied] = [statementNamed('ReadInstances'), statementNamed('ReadNoToken', 'Deny')];
  expect([granted.Action, denied.Action]).toEqual(['execute-api:Invoke', 'execute-api:Invoke']);
  const mayRead = (arn: string) => isMatch(granted.Resource, arn) && !isMatch(denied.Resource, arn);
  const reads = requestArns.filter((arn) => arn.includes('/GET/'));
  const ofTokens = reads.filter((arn) => arn.endsWith('/token'));
  expect(requestArns.filter(mayRead)).toEqual(reads.filter((arn) => !ofTokens.includes(arn)));
  expect(ofTokens).toHaveLength(6);
  // The grant alone would allow it.
  expect(ofTokens.filter((arn) => isMatch(granted.Resource, arn))).toEqual(ofTokens);
  const encoded = ofTokens.flatMap((arn) => [
    arn.replace(/token$/, '%74oken'),
    arn.replace('/taxify/', '%2Ftaxify%2F'),
  ]);
  expect(encoded.filter(mayRead)).toEqual([]);
  // An element may have that name.
  expect(
    mayRead(`arn:aws:execute-api:${inAccount}:a1b2c3d4e5/$default/GET/tenants/acme/instances/token`),
  ).toBe(true);
});

test('functions/README.md names the functions that read the platform secret, with which every token can be listed', () => {
  const [, list = ''] =
    /^A holder of the platform secret .* These functions read it: (.*)\.$/m.exec(
      pageAt('functions/README.md'),
    ) ?? [];
  const readers = rows
    .filter(([, { uses }]) => uses.secrets?.includes('platform'))
    .map(([name]) => `\`${name}\``);
  expect(list).toBe(readers.join(', '));
});

test('the control plane’s policy allows sending the service’s own kinds of events to its bus', () => {
  const { Action, Resource, Condition } = statementNamed('SendTenantEvents');
  expect(Action).toBe('events:PutEvents');
  const busName: string = only('AWS::Events::EventBus', production).Properties.Name;
  expect(Resource).toBe(`arn:aws:events:${inAccount}:event-bus/${busName}`);
  const fromAnySource = rows
    .flatMap(([, { queue }]) => queue?.events ?? [])
    .filter(({ source }) => !source)
    .flatMap((pattern) => pattern['detail-type']);
  expect(Condition).toEqual({ StringEquals: { 'events:detail-type': fromAnySource } });
});

test('the control plane’s policy allows writing the secrets of tenants, and neither reading them nor touching others', () => {
  const { Action, Resource } = statementNamed('WriteTenantSecrets');
  expect(Action).toEqual(['secretsmanager:CreateSecret', 'secretsmanager:PutSecretValue']);
  const prefix: string = production.findOutputs('TenantSecretPrefix')['TenantSecretPrefix']?.['Value'];
  const platform: string = secretNamed('platform', production).Properties.Name;
  const written = [`${prefix}/acme/taxify`, `${prefix}/globex/freshdeskv2`];
  const others = [platform, `${prefix}x/acme/taxify`, prefix.replace('prod', 'dev'), 'of-another-service'];
  expect([...written, ...others].filter((name) => isMatch(Resource, secretArn(name)))).toEqual(written);
});

test('the policy for vouching allows reading and writing rows of one table', () => {
  const { Action, Resource } = statementNamed('TrustConfiguration');
  expect(Action).toEqual(['dynamodb:GetItem', 'dynamodb:PutItem']);
  // CloudFormation ends it with characters of its own.
  const stackName = 'element-onboarding-prod';
  const name = `${stackName}-${only('AWS::DynamoDB::Table', production).id}`;
  expect(Resource).toMatch(new RegExp(`^arn:aws:dynamodb:${inAccount}:table/${name}-[A-Z0-9]+$`));
});
