import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import * as z from 'zod/mini';
import { production, only, rows } from './template.ts';

/** The IAM policies that the README gives as examples, for the stack with the stage `prod`. */

const policySchema = z.object({
  Version: z.literal('2012-10-17'),
  Statement: z.array(
    z.object({
      Sid: z.string(),
      Effect: z.literal('Allow'),
      Action: z.union([z.string(), z.array(z.string())]),
      Resource: z.string(),
      Condition: z.optional(z.unknown()),
    }),
  ),
});

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const statements = [...readme.matchAll(/^```json\n(.*?)^```$/gms)]
  .map(([, text = '']) => policySchema.safeParse(JSON.parse(text)))
  .flatMap(({ data }) => data?.Statement ?? []);

function statementNamed(sid: string) {
  const [statement, ...others] = statements.filter(({ Sid }) => Sid === sid);
  if (!statement || others.length > 0) throw new Error(`Expected one statement ${sid} in the README.`);
  return statement;
}

/** As IAM compares them: `*` is any text, slashes and all, and `?` one character. */
function isMatch(pattern: string, arn: string): boolean {
  const escaped = pattern.replaceAll(/[\\^$.|+()[\]{}]/g, String.raw`\$&`);
  return new RegExp(`^${escaped.replaceAll('*', '.*').replaceAll('?', '.')}$`).test(arn);
}

const inAccount = 'eu-west-1:111122223333';

/** Of every route, for some tenants and elements: what IAM is asked for, which has the path as it was sent. */
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

test('the application’s lets it read one tenant’s token and call nothing else', () => {
  const { Action, Resource } = statementNamed('ReadTokenOfAcme');
  expect(Action).toBe('execute-api:Invoke');
  expect(requestArns.filter((arn) => isMatch(Resource, arn))).toEqual([
    `arn:aws:execute-api:${inAccount}:a1b2c3d4e5/$default/GET/tenants/acme/instances/taxify/token`,
  ]);
  // The API has the stage that stands in that ARN.
  expect(only('AWS::ApiGatewayV2::Stage', production).Properties.StageName).toBe('$default');
});

test('the control plane’s lets it send the service’s own kinds of events to its bus', () => {
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

test('the control plane’s lets it write the secrets of tenants, and neither read them nor touch another', () => {
  const { Action, Resource } = statementNamed('WriteTenantSecrets');
  expect(Action).toEqual(['secretsmanager:CreateSecret', 'secretsmanager:PutSecretValue']);
  const prefix: string = production.findOutputs('TenantSecretPrefix')['TenantSecretPrefix']?.['Value'];
  const platform: string = only('AWS::SecretsManager::Secret', production).Properties.Name;
  const written = [`${prefix}/acme/taxify`, `${prefix}/globex/freshdeskv2`];
  const others = [platform, `${prefix}x/acme/taxify`, prefix.replace('prod', 'dev'), 'of-another-service'];
  expect([...written, ...others].filter((name) => isMatch(Resource, secretArn(name)))).toEqual(written);
});
