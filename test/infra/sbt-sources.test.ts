import { Template } from 'aws-cdk-lib/assertions';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { withSbtSource } from '../../infra/sbt-sources.ts';
import { parseSettings } from '../../infra/settings.ts';
import { OnboardingStack } from '../../infra/stack.ts';
import { newApp } from './new-app.ts';
import { eventOf, startService, type Service } from '../support/running-service.ts';

const base = { stage: 'dev', baseUrl: 'https://api.cloud-elements.com' };
const both = { controlPlane: 'com.example.control', applicationPlane: 'com.example.application' };

describe('the setting sbtSources', () => {
  test.each([
    ['controlPlane=com.example.control,applicationPlane=com.example.application', both],
    [' controlPlane = com.example.control , applicationPlane=com.example.application', both],
    ['controlPlane=com.example.control', { controlPlane: 'com.example.control' }],
    ['applicationPlane=com.example/plane-2', { applicationPlane: 'com.example/plane-2' }],
  ])('%o is read', (sbtSources, expected) => {
    expect(parseSettings({ ...base, sbtSources })).toEqual({ settings: { ...base, sbtSources: expected } });
  });

  test.each([
    '',
    'com.example.control',
    'controlPlane=',
    'controlplane=com.example.control',
    'controlPlane=a,controlPlane=b',
    'controlPlane=a,',
    'controlPlane=a=b',
    'controlPlane=aws.events',
    'controlPlane=AWS.events',
    'controlPlane=com example',
    `controlPlane=${'a'.repeat(257)}`,
    { controlPlane: 'com.example.control' },
    ['controlPlane=com.example.control'],
  ])('%o is refused with an example', (sbtSources) => {
    expect(parseSettings({ ...base, sbtSources })).toHaveProperty(
      'complaint',
      expect.stringMatching(/^Wrong context:\n {2}sbtSources: expected controlPlane=….*, for example /),
    );
  });
});

describe('a deployment with both sources set', () => {
  const settings = { ...base, sbtSources: both };
  const stack = new OnboardingStack(newApp(), { settings, code: (name) => Code.fromInline(name) });
  const template = Template.fromStack(stack);

  test('takes the toolkit’s requests of both dialects from its control plane alone, other events from any source', () => {
    const patterns = Object.values(template.findResources('AWS::Events::Rule')).flatMap(
      // On the service's own bus: the account's default one has other events.
      ({ Properties: { EventPattern: pattern, EventBusName: bus } }) =>
        pattern && bus ? [[pattern.source, pattern['detail-type']]] : [],
    );
    expect(patterns).toEqual([
      [undefined, ['TenantOnboarded']],
      [['com.example.control'], ['onboardingRequest']],
      [['com.example.control'], ['sbt_aws_onboardingRequest']],
      [undefined, ['TenantOffboarded']],
      [['com.example.control'], ['offboardingRequest']],
      [['com.example.control'], ['sbt_aws_offboardingRequest']],
    ]);
  });

  test('tells the application plane’s source to the function that publishes results, and to no other', () => {
    const sources = Object.values(template.findResources('AWS::Lambda::Function')).flatMap(
      ({ Properties }) => {
        const source = Properties.Environment.Variables.SBT_APPLICATION_PLANE_SOURCE;
        return source === undefined ? [] : [[Properties.Code.ZipFile, source]];
      },
    );
    expect(sources).toEqual([['publish-results', 'com.example.application']]);
  });
});

test('an application plane alone leaves the sources of requests at their defaults', () => {
  const pattern = { source: ['sbt.control.plane'], 'detail-type': ['sbt_aws_onboardingRequest'] };
  expect(withSbtSource(pattern, { applicationPlane: 'com.example.application' })).toEqual(pattern);
});

const request = (source: string, detailType: string) => {
  const tenantId = `sbt-${randomUUID()}`;
  return { tenantId, event: eventOf(source, detailType, { tenantId, tenantRegistrationId: tenantId }) };
};

describe('with both sources set', () => {
  let service: Service;
  beforeAll(async () => {
    service = await startService({
      sbtSources: both,
      queue: { visibilityTimeoutMs: 50, maxReceiveCount: 3 },
    });
  });
  afterAll(() => service[Symbol.asyncDispose]());

  async function resultsOf({ tenantId, event }: ReturnType<typeof request>) {
    await service.putTenantSecret(tenantId, { 'api.key': 'any' });
    await service.deliverEvents(event);
    return (await service.events())
      .filter(({ id, detail }) => JSON.stringify({ id, detail }).includes(tenantId))
      .map((heard) => `${heard.source} ${heard['detail-type']}`);
  }

  test.each(['', 'sbt_aws_'])(
    'a request %sonboardingRequest is answered from the source set',
    async (prefix) => {
      const requested = request('com.example.control', `${prefix}onboardingRequest`);
      expect(await resultsOf(requested)).toEqual([
        `com.example.control ${prefix}onboardingRequest`,
        'element-onboarding InstanceProvisioned',
        `com.example.application ${prefix}provisionSuccess`,
      ]);
    },
  );

  test.each([
    ['controlPlaneEventSource', 'onboardingRequest'],
    ['sbt.control.plane', 'sbt_aws_onboardingRequest'],
    ['com.example.application', 'onboardingRequest'],
  ])('a request from %s is not taken', async (source, detailType) => {
    expect(await resultsOf(request(source, detailType))).toEqual([`${source} ${detailType}`]);
  });

  test('an event of another sender is taken from any source', async () => {
    const tenantId = `own-${randomUUID()}`;
    expect(await resultsOf({ tenantId, event: eventOf('crm', 'TenantOnboarded', { tenantId }) })).toEqual([
      'crm TenantOnboarded',
      'element-onboarding InstanceProvisioned',
    ]);
  });
});
