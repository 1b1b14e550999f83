import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { newTenant } from '../support/real-servers.ts';
import { eventOf, startService, tenantOnboarded, type Service } from '../support/running-service.ts';
import { isDeployed } from './deployed/endpoint.ts';

const registrationId = 'registration-1';

/** Requests of the toolkit. */
const sbt05 = (request: string, tenantId: string) =>
  eventOf('controlPlaneEventSource', request, { tenantId, tenantRegistrationId: registrationId });
const sbt09 = (request: string, tenantId: string) =>
  eventOf('sbt.control.plane', request, { tenantId, tenantRegistrationId: registrationId });

describe('on the bus', () => {
  const tenantSecret = { 'api.key': 'stored-key-for-tests' };
  let service: Service;
  beforeAll(async () => {
    service = await startService({ queue: { visibilityTimeoutMs: 50, maxReceiveCount: 30 } });
  });
  afterAll(() => service[Symbol.asyncDispose]());

  /** The events that a subscriber gets as a result of `act`: source, detail-type and detail. */
  async function heard(act: () => Promise<unknown>): Promise<[string, string, Record<string, unknown>][]> {
    const results = await service.resultsOf(act);
    return results.map((event) => [event.source, event['detail-type'], event.detail]);
  }

  async function newTenantWithSecret(): Promise<string> {
    const tenantId = newTenant();
    await service.putTenantSecret(tenantId, tenantSecret);
    return tenantId;
  }

  /** The id on the bus of the event that was sent last by this source. */
  const lastIdFrom = async (source: string) =>
    (await service.events()).findLast((event) => event.source === source)?.id;

  test('the result of a native event names the provisioned instance', async () => {
    const tenantId = await newTenantWithSecret();
    const responses = await heard(() =>
      service.putEvents(tenantOnboarded(tenantId, { name: 'Shop', tags: ['eu'] })),
    );
    expect(responses).toEqual([
      [
        'element-onboarding',
        'InstanceProvisioned',
        {
          tenantId,
          element: { key: 'taxify' },
          id: service.instancesOf(tenantId)[0]?.id,
          name: 'Shop',
          tags: ['eu'],
          status: 'active',
          revision: expect.any(Number),
          request: { eventId: await lastIdFrom('crm.example') },
        },
      ],
    ]);
  });

  test.each([
    ['0.5', sbt05('onboardingRequest', ''), 'applicationPlaneEventSource', 'provisionSuccess'],
    ['0.9', sbt09('sbt_aws_onboardingRequest', ''), 'sbt.application.plane', 'sbt_aws_provisionSuccess'],
  ])(
    'a toolkit request %s is answered in its dialect, too',
    async (_version, request, source, detailType) => {
      const tenantId = await newTenantWithSecret();
      const Detail = JSON.stringify({ tenantId, tenantRegistrationId: registrationId });
      const responses = await heard(() => service.putEvents({ ...request, Detail }));
      expect(responses).toMatchObject([
        ['element-onboarding', 'InstanceProvisioned', { tenantId }],
        [
          source,
          detailType,
          {
            tenantRegistrationId: registrationId,
            jobOutput: {
              tenantData: { taxifyInstanceId: String(service.instancesOf(tenantId)[0]?.id) },
              tenantRegistrationData: { registrationStatus: 'created' },
            },
          },
        ],
      ]);
    },
  );

  test('the result of an HTTP request has no request field', async () => {
    const tenantId = newTenant();
    const body = { element: { key: 'taxify' }, configuration: tenantSecret };
    const responses = await heard(() => service.post(tenantId, body));
    expect(responses).toMatchObject([['element-onboarding', 'InstanceProvisioned', { tenantId }]]);
    expect(responses[0]?.[2]).not.toHaveProperty('request');
    expect(await heard(() => service.post(tenantId, body))).toEqual([]);
  });

  test('a refused event publishes InstanceFailed with its reason, and provisionFailure', async () => {
    const tenantId = newTenant();
    const responses = await heard(() => service.putEvents(sbt09('sbt_aws_onboardingRequest', tenantId)));
    expect(responses).toMatchObject([
      [
        'element-onboarding',
        'InstanceFailed',
        {
          tenantId,
          lastError: { code: 'missing-configuration', detail: expect.stringContaining('api.key') },
        },
      ],
      [
        'sbt.application.plane',
        'sbt_aws_provisionFailure',
        { jobOutput: { tenantRegistrationData: { registrationStatus: 'failed' } } },
      ],
    ]);
    // A refusal over HTTP leaves the row unchanged, and the caller has the response.
    expect(await heard(() => service.post(tenantId, { element: { key: 'taxify' } }))).toEqual([]);
  });

  test('a repeated request is answered again, to its own event', async () => {
    const tenantId = await newTenantWithSecret();
    await heard(() => service.putEvents(tenantOnboarded(tenantId)));
    const again = await heard(() => service.putEvents(tenantOnboarded(tenantId)));
    expect(again).toMatchObject([
      [
        'element-onboarding',
        'InstanceProvisioned',
        { tenantId, request: { eventId: await lastIdFrom('crm.example') } },
      ],
    ]);
    const bySbt = await heard(() => service.putEvents(sbt05('onboardingRequest', tenantId)));
    expect(bySbt.map(([, detailType]) => detailType)).toEqual(['InstanceProvisioned', 'provisionSuccess']);
    expect(service.postsFor(tenantId)).toBe(1);
  });

  test.each([
    ['the whole tenant', {}],
    ['one element', { element: { key: 'taxify' } }],
  ])('each of three overlapping offboardings of %s is answered', async (_what, detail) => {
    const tenantId = await newTenantWithSecret();
    await heard(() => service.putEvents(tenantOnboarded(tenantId)));
    const offboarded = eventOf('crm.example', 'TenantOffboarded', { tenantId, ...detail });
    const responses = await heard(() => service.putEvents(offboarded, offboarded, offboarded));
    const sent = (await service.events()).filter((event) => event.source === 'crm.example').slice(-3);
    const answered = responses.map(([, , { request }]) => request);
    expect(answered).toEqual(expect.arrayContaining(sent.map(({ id }) => ({ eventId: id }))));
  });

  test('InstanceRemoved is published for a removal, a repeated one, and one without an instance', async () => {
    const tenantId = await newTenantWithSecret();
    await heard(() => service.putEvents(tenantOnboarded(tenantId)));
    const [{ id } = { id: undefined }] = service.instancesOf(tenantId);
    const gone = await heard(() => service.putEvents(sbt09('sbt_aws_offboardingRequest', tenantId)));
    expect(service.instancesOf(tenantId)).toEqual([]);
    expect(gone).toMatchObject([
      ['element-onboarding', 'InstanceRemoved', { tenantId, id }],
      ['element-onboarding', 'InstanceRemoved', { tenantId }],
      [
        'sbt.application.plane',
        'sbt_aws_deprovisionSuccess',
        {
          tenantRegistrationId: registrationId,
          jobOutput: { tenantData: {}, tenantRegistrationData: { registrationStatus: 'deleted' } },
        },
      ],
    ]);
    const again = await heard(() => service.putEvents(sbt05('offboardingRequest', tenantId)));
    expect(again.map(([, detailType]) => detailType)).toEqual(['InstanceRemoved', 'deprovisionSuccess']);
    const stranger = newTenant();
    const never = await heard(() =>
      service.putEvents(eventOf('crm.example', 'TenantOffboarded', { tenantId: stranger })),
    );
    expect(never).toMatchObject([['element-onboarding', 'InstanceRemoved', { tenantId: stranger }]]);
  });

  test.skipIf(isDeployed)('an event that the bus did not accept is published once it does', async () => {
    const tenantId = await newTenantWithSecret();
    const responses = await heard(async () => {
      await service.putEvents(tenantOnboarded(tenantId));
      const failure = { status: 500, type: 'InternalFailure' };
      // The SDK tries three times in one invocation.
      service.stack.fail({ target: 'AWSEvents.PutEvents', times: 6, ...failure });
    });
    expect(responses.map(([, detailType]) => detailType)).toEqual(['InstanceProvisioned']);
    expect(service.stack.streams.get('publish-results')?.givenUp).toEqual([]);
  });

  test('an unreadable record is reported, and logged without its content', async () => {
    const odd = [
      { status: { S: 'active' }, token: { S: 'planted-token' } },
      { status: { planted: 'planted-token' } },
      { tenantId: { N: 'planted-token' } },
    ];
    for (const NewImage of odd) {
      const Records = [{ dynamodb: { SequenceNumber: '1', NewImage } }];
      expect(await service.invoke('publish-results', { Records })).toEqual({
        batchItemFailures: [{ itemIdentifier: '1' }],
      });
    }
    const lines = (await service.logs()).filter((line) => line.includes('malformed'));
    expect(lines).toHaveLength(odd.length);
    expect(lines.join('\n')).not.toContain('planted');
  });

  test('no result event contains a secret or a token', async () => {
    const tokens = service.simulator.instances.map(({ token }) => token);
    expect(tokens.length).toBeGreaterThan(3);
    const text = JSON.stringify(await service.events());
    for (const secret of [
      ...tokens,
      tenantSecret['api.key'],
      'local-user-secret',
      'provisionId',
      'fingerprint',
    ]) {
      expect(text).not.toContain(secret);
    }
    for (const line of await service.logs()) expect(line).not.toContain(tenantSecret['api.key']);
  });
});
