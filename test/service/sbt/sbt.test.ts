import { CreateTableCommand, DeleteTableCommand } from '@aws-sdk/client-dynamodb';
import { ControlPlane, CognitoAuth, EventManager } from '@cdklabs/sbt-aws';
import { App, Stack } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { EventBus } from 'aws-cdk-lib/aws-events';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import * as z from 'zod/mini';
import { ElementOnboarding } from '../../../infra/element-onboarding.ts';
import { matchesPattern } from '../../../infra/local/aws/event-bus.ts';
import type { EventEnvelope } from '../../../infra/local/aws/event-bus.ts';
import { startService, type Service } from '../../support/running-service.ts';
import { environment, isDeployed } from '../deployed/endpoint.ts';

/** The control plane of the SaaS Builder Toolkit and this service on one bus, as a platform engineer writes it. */
function template(): Template {
  // Of the toolkit, not of this project.
  vi.stubEnv('JSII_DEPRECATED', 'quiet');
  const app = new App({
    // Python for its functions comes in a container, which no test needs.
    context: { 'aws:cdk:bundling-stacks': [] },
    // The toolkit's template is for its own tests to validate; that of this service is validated in those of the construct.
    builtinCloudFormationValidation: false,
  });
  const stack = new Stack(app, 'Platform');
  const onboarding = new ElementOnboarding(stack, 'Taxify', {
    stage: 'dev',
    baseUrl: 'https://api.cloud-elements.com',
    code: (name) => Code.fromInline(name),
  });
  // Not the bus itself: CDK's classes do not fit its own interfaces under `exactOptionalPropertyTypes`.
  const eventBus = EventBus.fromEventBusName(stack, 'Bus', onboarding.bus.eventBusName);
  const eventManager = new EventManager(stack, 'Events', { eventBus });
  const auth = new CognitoAuth(stack, 'Auth', { setAPIGWScopes: false });
  expect(
    new ControlPlane(stack, 'ControlPlane', { auth, eventManager, systemAdminEmail: 'a@example.com' }),
  ).toBeDefined();
  return Template.fromStack(stack);
}

const ruleSchema = z.object({
  Properties: z.object({
    EventBusName: z.optional(z.object({ Ref: z.string() })),
    EventPattern: z.optional(z.object({ source: z.array(z.string()), 'detail-type': z.array(z.string()) })),
    Targets: z.array(
      z.object({
        InputPath: z.optional(z.string()),
        HttpParameters: z.optional(z.object({ PathParameterValues: z.array(z.string()) })),
      }),
    ),
  }),
});
const functionSchema = z.object({
  Properties: z.object({ Environment: z.object({ Variables: z.record(z.string(), z.unknown()) }) }),
});

/** The Python that has the packages of the toolkit's functions. */
const { SBT_PYTHON: python } = process.env;

describe('the SaaS Builder Toolkit', () => {
  const all = template();
  const rules = Object.values(all.findResources('AWS::Events::Rule')).flatMap((each) => {
    const rule = ruleSchema.safeParse(each).data?.Properties;
    return rule?.EventPattern && rule.EventBusName
      ? [{ ...rule, pattern: rule.EventPattern, bus: rule.EventBusName.Ref }]
      : [];
  });

  test('its control plane listens and sends on the bus of the service, and brings no other', () => {
    expect(Object.keys(all.findResources('AWS::Events::EventBus'))).toEqual([
      expect.stringMatching(/^TaxifyBus/),
    ]);
    expect(new Set(rules.map(({ bus }) => bus)).size).toBe(1);
    expect(rules.filter(({ Targets }) => Targets[0]?.HttpParameters)).toHaveLength(4);
  });

  // A part of the deployed tests, since the packages are Python's; `npm test` has it where that Python is named.
  if (!isDeployed && python === undefined) return;
  describe('with its own handlers', () => {
    const tables = { registrations: `registrations-${randomUUID()}`, tenants: `tenants-${randomUUID()}` };
    let service: Service;
    let controlPlane: ChildProcess;
    let url: string;

    beforeAll(async () => {
      service = await startService();
      for (const [TableName, AttributeName] of [
        [tables.registrations, 'tenantRegistrationId'],
        [tables.tenants, 'tenantId'],
      ] as const) {
        await service.dynamoDb.send(
          new CreateTableCommand({
            TableName,
            BillingMode: 'PAY_PER_REQUEST',
            AttributeDefinitions: [{ AttributeName, AttributeType: 'S' }],
            KeySchema: [{ AttributeName, KeyType: 'HASH' }],
          }),
        );
      }
      const { Variables: deployed } = Object.values(all.findResources('AWS::Lambda::Function'))
        .flatMap((each) => functionSchema.safeParse(each).data?.Properties.Environment ?? [])
        .find(({ Variables }) => 'TENANT_REGISTRATION_TABLE_NAME' in Variables) ?? { Variables: {} };
      const names = z
        .object({
          EVENT_SOURCE: z.string(),
          ONBOARDING_DETAIL_TYPE: z.string(),
          OFFBOARDING_DETAIL_TYPE: z.string(),
        })
        .parse(deployed);
      const functions = join(
        dirname(createRequire(import.meta.url).resolve('@cdklabs/sbt-aws/package.json')),
        'resources/functions',
      );
      controlPlane = spawn(
        python ?? 'python3',
        [fileURLToPath(new URL('control_plane.py', import.meta.url)), functions],
        {
          env: {
            ...(isDeployed ? environment : { ...process.env, ...service.stack.environment }),
            ...names,
            AWS_DEFAULT_REGION: 'us-east-1',
            EVENTBUS_NAME: service.busName,
            TENANT_REGISTRATION_TABLE_NAME: tables.registrations,
            TENANT_DETAILS_TABLE: tables.tenants,
            POWERTOOLS_SERVICE_NAME: 'sbt',
            POWERTOOLS_TRACE_DISABLED: 'true',
          },
          stdio: ['ignore', 'pipe', 'inherit'],
        },
      );
      const [printed] = await Promise.race([
        once(controlPlane.stdout ?? controlPlane, 'data'),
        once(controlPlane, 'exit').then(() => [`ended: has ${python ?? 'python3'} the packages?`]),
      ]);
      url = `http://127.0.0.1:${z.coerce.number().parse(String(printed).trim())}`;
    });
    afterAll(async () => {
      controlPlane.kill();
      for (const TableName of Object.values(tables)) {
        await service.dynamoDb.send(new DeleteTableCommand({ TableName }));
      }
      await service[Symbol.asyncDispose]();
    });

    async function call(method: string, path: string, body?: unknown): Promise<Record<string, unknown>> {
      const init = body === undefined ? {} : { body: JSON.stringify(body) };
      const response = await fetch(`${url}${path}`, {
        method,
        headers: { 'content-type': 'application/json' },
        ...init,
      });
      const text = await response.text();
      expect([response.status, text]).toEqual([expect.toBeOneOf([200, 201]), text]);
      return z.object({ data: z.record(z.string(), z.unknown()) }).parse(JSON.parse(text)).data;
    }

    const delivered = new Set<string>();
    /** Does EventBridge's part: each event on the bus that one of the toolkit's rules matches goes to its API. */
    async function deliverToControlPlane(): Promise<void> {
      await service.idle();
      for (const event of await service.events()) {
        const rule = rules.find(
          ({ pattern, Targets }) => Targets[0]?.HttpParameters && matchesPattern(pattern, event),
        );
        if (!rule || delivered.has(event.id)) continue;
        delivered.add(event.id);
        const [target] = rule.Targets;
        const id = valueAt(target?.HttpParameters?.PathParameterValues[0] ?? '', event);
        await call('PATCH', `/tenant-registrations/${String(id)}`, valueAt(target?.InputPath ?? '', event));
      }
    }

    test('a registered tenant is created with its instance, and a deleted one ends as deleted', async () => {
      const { tenantId, tenantRegistrationId } = await call('POST', '/tenant-registrations', {
        tenantData: { tenantName: 'Acme', email: 'acme@example.com', tier: 'basic' },
        tenantRegistrationData: { registrationStatus: 'In progress' },
      });
      await service.putTenantSecret(String(tenantId), { 'api.key': 'any' });
      await deliverToControlPlane();
      const [instance] = service.instancesOf(String(tenantId));
      expect(await call('GET', `/tenant-registrations/${String(tenantRegistrationId)}`)).toMatchObject({
        registrationStatus: 'created',
      });
      expect(await call('GET', `/tenants/${String(tenantId)}`)).toMatchObject({
        tenantName: 'Acme',
        taxifyInstanceId: String(instance?.id),
      });

      await call('DELETE', `/tenant-registrations/${String(tenantRegistrationId)}`);
      await deliverToControlPlane();
      expect(service.instancesOf(String(tenantId))).toEqual([]);
      expect(await call('GET', `/tenant-registrations/${String(tenantRegistrationId)}`)).toMatchObject({
        registrationStatus: 'deleted',
      });
    });

    test('a tenant whose key is refused has failed', async () => {
      const { tenantId, tenantRegistrationId } = await call('POST', '/tenant-registrations', {
        tenantData: { tenantName: 'Globex' },
        tenantRegistrationData: { registrationStatus: 'In progress' },
      });
      await service.putTenantSecret(String(tenantId), { 'api.key': 'refused-key-for-tests' });
      await deliverToControlPlane();
      expect(await call('GET', `/tenant-registrations/${String(tenantRegistrationId)}`)).toMatchObject({
        registrationStatus: 'failed',
      });
    });
  });
});

/** The value at a path such as `$.detail.jobOutput`. */
function valueAt(path: string, event: EventEnvelope): unknown {
  return path
    .split('.')
    .slice(1)
    .reduce((value: unknown, name) => Object(value)[name], event);
}
