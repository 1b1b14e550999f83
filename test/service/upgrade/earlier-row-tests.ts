import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { isDeployed } from '../deployed/endpoint.ts';
import type { Service } from '../../support/running-service.ts';
import {
  kinds,
  offboardingId,
  onboardingId,
  reconcileNow,
  writeEarlierRow,
  type EarlierRow,
  type KindName,
} from './earlier-rows.ts';

/** Deployed, a function or a line of its log may take a moment. */
const patience = { timeout: 30_000, interval: isDeployed ? 200 : 20 };
const timeout = 60_000;

const storedKey = 'stored-key-for-tests';

type Case = { title: string; kind: KindName; check: (service: Service, row: EarlierRow) => Promise<void> };

export type EarlierRows = Map<Case, EarlierRow>;

/** Writes a row of its own for each of the tests. */
export async function writeEarlierRows(service: Service): Promise<EarlierRows> {
  return new Map(
    await Promise.all(
      cases.map(async (each): Promise<[Case, EarlierRow]> => [
        each,
        await writeEarlierRow(service, each.kind),
      ]),
    ),
  );
}

/** Tests how this version handles rows of the previous version, local or deployed. */
export function testEarlierRows(of: () => { service: Service; rows: EarlierRows }): void {
  test('the audit can read every row of the previous version', { timeout }, async () => {
    const { service } = of();
    const result = await service.invoke('audit-instances', {});
    expect(result).toMatchObject({ unreadable: 0, complete: true });
  });

  const named = cases.map((each) => [each.kind, each.title, each] as const);
  test.each(named)('a row of the previous version %s: %s', { timeout }, async (_kind, _title, each) => {
    expect.hasAssertions();
    const { service, rows } = of();
    const row = rows.get(each);
    if (!row) throw new Error('No row was written for this test.');
    await each.check(service, row);
  });
}

const pathOf = ({ tenantId }: EarlierRow) => `/tenants/${tenantId}/instances/taxify`;

/** The request that the row was made for. */
const requestOf = ({ settings: { configuration, ...settings } }: EarlierRow) => ({
  element: { key: 'taxify' },
  ...settings,
  configuration: { 'api.key': 'key-of-before', ...configuration },
});

type Message = {
  /** Kind of an event for one element, or for the whole tenant. */
  kind: 'onboarding' | 'offboarding' | 'tenant-offboarding';
  id?: string;
  sentAt?: number;
  settings?: object;
  registrationId?: string;
};

/** Delivers an event whose id and time a test knows. @returns its outcome */
async function deliver(
  service: Service,
  { tenantId }: EarlierRow,
  { kind, id = randomUUID(), sentAt = Date.now(), settings, registrationId }: Message,
): Promise<string | undefined> {
  const isOnboarding = kind === 'onboarding';
  const toolkit = isOnboarding ? 'sbt_aws_onboardingRequest' : 'sbt_aws_offboardingRequest';
  const ownType = isOnboarding ? 'TenantOnboarded' : 'TenantOffboarded';
  const element = kind === 'offboarding' ? { element: { key: 'taxify' } } : {};
  const event = {
    id,
    time: new Date(sentAt).toISOString(),
    ...(registrationId === undefined
      ? { source: 'crm.example', 'detail-type': ownType, detail: { tenantId, ...element, ...settings } }
      : {
          source: 'sbt.control.plane',
          'detail-type': toolkit,
          detail: { tenantId, tenantRegistrationId: registrationId },
        }),
  };
  const messageId = randomUUID();
  const attributes = { SentTimestamp: String(Date.now()), ApproximateReceiveCount: '1' };
  await service.invoke(isOnboarding ? 'onboard-tenants' : 'offboard-tenants', {
    Records: [{ messageId, body: JSON.stringify(event), attributes }],
  });
  const line = async () =>
    (await service.deliveriesOf(tenantId)).find((each) => each['messageId'] === messageId);
  const lineAtRest = async () => (await line()) ?? service.idle().then(line);
  await expect.poll(lineAtRest, patience).toBeDefined();
  return (await line())?.outcome;
}

/** The tenant's events during `act`, until the service is at rest: detail-type and detail. */
async function heard(service: Service, row: EarlierRow, act: () => Promise<unknown>) {
  return (await service.resultsOf(act))
    .filter(({ detail }) => [detail['tenantId'], detail['tenantRegistrationId']].some((id) => isOf(row, id)))
    .map((event): [string, Record<string, unknown>] => [event['detail-type'], event.detail]);
}

/** The tenant's events while the reconciler settles the row. */
const heardWhileSettled = (service: Service, row: EarlierRow, status: 'failed' | 'removed') =>
  heard(service, row, async () => {
    await reconcileNow(service, row.tenantId);
    await expect.poll(() => service.rowOf(row.tenantId), patience).toMatchObject({ status });
  });

/** The tenant's events when a message is delivered, whose outcome is as expected. */
const heardAfter = (service: Service, row: EarlierRow, message: Message, outcome: string) =>
  heard(service, row, async () => {
    expect(await deliver(service, row, message)).toBe(outcome);
  });

const isOf = ({ tenantId, registrationId }: EarlierRow, id: unknown) =>
  id === tenantId || id === registrationId;

/** The instance is unchanged, and no other was created. */
async function expectKept(service: Service, { tenantId, instanceId }: EarlierRow): Promise<void> {
  await service.expectOneActiveInstance(tenantId);
  expect(service.instancesOf(tenantId).map(({ id }) => id)).toEqual([instanceId]);
}

async function expectRemoved(service: Service, row: EarlierRow): Promise<void> {
  expect(service.instancesOf(row.tenantId)).toEqual([]);
  expect((await service.get(pathOf(row))).status).toBe(404);
}

/** The secret exists, and is not sent. */
async function expectUnknownSource(service: Service, row: EarlierRow): Promise<void> {
  await service.putTenantSecret(row.tenantId, { 'api.key': storedKey });
  expect(await service.patch(pathOf(row), { configuration: {} })).toMatchObject({
    status: 409,
    json: { code: 'configuration-unknown' },
  });
  const own = { 'api.key': 'x', 'base.url': 'https://elsewhere.example' };
  expect(await service.patch(pathOf(row), { configuration: own })).toMatchObject({ status: 409 });
  const allowListed = { configuration: { 'pagination.max': 7 } };
  expect(await service.patch(pathOf(row), allowListed)).toMatchObject({ status: 200 });
  const [instance] = service.instancesOf(row.tenantId);
  expect(instance?.configuration).toEqual({ 'api.key': 'key-of-before', 'pagination.max': 7 });
}

const isActive = (kind: KindName) => kind.startsWith('active');
const isGone = (kind: KindName) => kind.startsWith('removed');

function shownStatus(kind: KindName): string {
  if (isActive(kind)) return 'active';
  if (kind.startsWith('being deleted')) return 'deleting';
  return kind.startsWith('failed') ? 'failed' : 'provisioning';
}

async function expectShown(service: Service, row: EarlierRow): Promise<void> {
  const { kind, tenantId, settings } = row;
  const list = await service.get(`/tenants/${tenantId}/instances`);
  const one = await service.get(pathOf(row));
  const token = await service.get(`${pathOf(row)}/token`);
  if (isGone(kind)) {
    expect([list.text, one.status, token.status]).toEqual(['[]', 404, 404]);
    return;
  }
  expect(one).toMatchObject({
    status: 200,
    json: {
      status: shownStatus(kind),
      name: settings.name ?? `taxify-${tenantId}`,
      createdDate: new Date(row.requestedAt).toISOString(),
    },
  });
  expect(list.json).toEqual([one.json]);
  const instance = service.instancesOf(tenantId).find(({ id }) => id === row.instanceId);
  expect(token).toMatchObject(
    isActive(kind) ? { status: 200, json: { id: instance?.id, token: instance?.token } } : { status: 409 },
  );
}

async function expectReplays(service: Service, row: EarlierRow): Promise<void> {
  const before = await service.rowOf(row.tenantId);
  const posts = service.postsFor(row.tenantId);
  const request = requestOf(row);
  expect((await service.post(row.tenantId, request)).status).toBe(200);
  const { configuration = {} } = row.settings;
  expect((await service.post(row.tenantId, { ...request, configuration })).status).toBe(200);
  expect(await service.post(row.tenantId, { ...request, name: 'Other' })).toMatchObject({
    status: 409,
    json: { code: 'settings-conflict' },
  });
  expect(await service.rowOf(row.tenantId)).toEqual(before);
  expect(service.postsFor(row.tenantId)).toBe(posts);
}

const kindNames = Object.keys(kinds).filter((name): name is KindName => Object.hasOwn(kinds, name));

/** By kind, the titles of its tests. */
const checks: Partial<Record<KindName, Record<string, Case['check']>>> = {
  'active from a request': {
    async 'PATCH of the name works, and the request with the new name is a replay'(service, row) {
      expect((await service.patch(pathOf(row), { name: 'New' })).status).toBe(200);
      expect(service.instancesOf(row.tenantId)[0]?.name).toBe('New');
      expect((await service.post(row.tenantId, { ...requestOf(row), name: 'New' })).status).toBe(200);
      await expectKept(service, row);
    },
    async 'DELETE removes it, and a new request makes another'(service, row) {
      expect((await service.delete(pathOf(row))).status).toBe(204);
      await expectRemoved(service, row);
      expect((await service.post(row.tenantId, requestOf(row))).status).toBe(201);
      await service.expectOneActiveInstance(row.tenantId);
    },
    async 'an offboarding from well before the request is ignored'(service, row) {
      const sentAt = row.requestedAt - 60_000;
      expect(await deliver(service, row, { kind: 'offboarding', sentAt })).toBe('outdated');
      await expectKept(service, row);
    },
    async 'an offboarding by a clock three seconds slow removes it'(service, row) {
      const sentAt = row.requestedAt - 3_000;
      expect(await deliver(service, row, { kind: 'offboarding', sentAt })).toBe('removed');
      await expectRemoved(service, row);
    },
    async 'a toolkit request with any settings accepts it'(service, row) {
      const { registrationId } = row;
      const responses = await heardAfter(service, row, { kind: 'onboarding', registrationId }, 'replayed');
      expect(responses.map(([type]) => type)).toEqual(['InstanceProvisioned', 'sbt_aws_provisionSuccess']);
      await expectKept(service, row);
    },
  },
  'active by an event': {
    async 'an offboarding sent three seconds before that event is ignored'(service, row) {
      const sentAt = row.requestedAt - 3_000;
      expect(await deliver(service, row, { kind: 'offboarding', sentAt })).toBe('outdated');
      await expectKept(service, row);
    },
    async 'the same event with any settings is a repeat, and gives no second result'(service, row) {
      const before = await service.rowOf(row.tenantId);
      const again = { kind: 'onboarding', id: onboardingId, sentAt: row.requestedAt } as const;
      const responses = await heardAfter(service, row, again, 'replayed');
      expect(responses).toEqual([]);
      expect(await service.rowOf(row.tenantId)).toEqual(before);
    },
    async 'another event with the same settings is answered'(service, row) {
      const { settings } = row;
      const responses = await heard(service, row, async () => {
        const outcome = await deliver(service, row, { kind: 'onboarding', id: 'another', settings });
        expect(outcome).toBe('replayed');
      });
      expect(responses).toMatchObject([
        ['InstanceProvisioned', { id: row.instanceId, request: { eventId: 'another' } }],
      ]);
      await expectKept(service, row);
    },
    async 'the offboarding of the tenant removes it and gives a result'(service, row) {
      const responses = await heardAfter(
        service,
        row,
        { kind: 'tenant-offboarding', id: 'leaves' },
        'removed',
      );
      await expectRemoved(service, row);
      expect(responses).toContainEqual([
        'InstanceRemoved',
        expect.objectContaining({ id: row.instanceId, request: { eventId: 'leaves' } }),
      ]);
    },
  },
  'active by a request of the toolkit': {
    async 'the same registration is a repeat, also from an event with another id'(service, row) {
      const { registrationId } = row;
      expect(await deliver(service, row, { kind: 'onboarding', registrationId })).toBe('replayed');
      await expectKept(service, row);
    },
    async 'a native event gives a toolkit response, too'(service, row) {
      const responses = await heardAfter(service, row, { kind: 'onboarding', id: 'own' }, 'replayed');
      expect(responses).toMatchObject([
        ['InstanceProvisioned', { request: { eventId: 'own' } }],
        [
          'sbt_aws_provisionSuccess',
          {
            tenantRegistrationId: row.registrationId,
            jobOutput: { tenantData: { taxifyInstanceId: String(row.instanceId) } },
          },
        ],
      ]);
    },
    async 'the toolkit’s offboarding removes it and is answered in its dialect'(service, row) {
      const { registrationId } = row;
      const responses = await heardAfter(
        service,
        row,
        { kind: 'tenant-offboarding', registrationId },
        'removed',
      );
      await expectRemoved(service, row);
      expect(responses.map(([type]) => type)).toEqual([
        'InstanceRemoved',
        'InstanceRemoved',
        'sbt_aws_deprovisionSuccess',
      ]);
    },
  },
  'active after a create of unknown outcome': {
    async 'the reconciler removes the second instance and keeps the first'(service, row) {
      await reconcileNow(service, row.tenantId);
      await expect.poll(() => service.instancesOf(row.tenantId).length, patience).toBe(1);
      await expect
        .poll(() => service.rowOf(row.tenantId), patience)
        .not.toMatchObject({ checkAt: expect.any(Number) });
      await expectKept(service, row);
    },
    async 'DELETE removes both instances'(service, row) {
      expect((await service.delete(pathOf(row))).status).toBe(204);
      await expectRemoved(service, row);
    },
  },
  failed: {
    async 'the same request again provisions'(service, row) {
      expect((await service.post(row.tenantId, requestOf(row))).status).toBe(201);
      await service.expectOneActiveInstance(row.tenantId);
    },
  },
  'failed for a request of the toolkit': {
    async 'a request over HTTP repairs it, and the toolkit is answered in its dialect'(service, row) {
      const responses = await heard(service, row, async () => {
        expect((await service.post(row.tenantId, requestOf(row))).status).toBe(201);
      });
      await service.expectOneActiveInstance(row.tenantId);
      expect(responses).toMatchObject([
        ['InstanceProvisioned', { request: { eventId: onboardingId } }],
        ['provisionSuccess', { tenantRegistrationId: row.registrationId }],
      ]);
    },
  },
  'failed after a create of unknown outcome': {
    async 'the next request begins a generation of its own and removes the late instance'(service, row) {
      const [late] = service.instancesOf(row.tenantId);
      expect((await service.post(row.tenantId, requestOf(row))).status).toBe(201);
      await service.expectOneActiveInstance(row.tenantId);
      expect(service.instancesOf(row.tenantId)[0]?.id).not.toBe(late?.id);
      expect(await service.rowOf(row.tenantId)).toMatchObject({
        provisionId: expect.not.stringContaining(row.provisionId),
        formers: [{ provisionId: row.provisionId }],
      });
    },
    async 'the reconciler removes the late instance'(service, row) {
      await reconcileNow(service, row.tenantId);
      await expect.poll(() => service.instancesOf(row.tenantId), patience).toEqual([]);
    },
  },
  'claimed by a request that died after its create': {
    async 'the reconciler adopts the instance, whose source stays unknown'(service, row) {
      await reconcileNow(service, row.tenantId);
      await expect.poll(() => service.rowOf(row.tenantId), patience).toMatchObject({ status: 'active' });
      await service.expectOneActiveInstance(row.tenantId);
      expect((await service.post(row.tenantId, requestOf(row))).status).toBe(200);
      await expectUnknownSource(service, row);
    },
    async 'the next request adopts the instance, whose source stays unknown'(service, row) {
      const posts = service.postsFor(row.tenantId);
      expect((await service.post(row.tenantId, requestOf(row))).status).toBe(201);
      await service.expectOneActiveInstance(row.tenantId);
      expect(service.postsFor(row.tenantId)).toBe(posts);
      await expectUnknownSource(service, row);
    },
  },
  'claimed by a request of the toolkit that died before its create': {
    async 'the reconciler fails it, and the toolkit is answered in its dialect'(service, row) {
      const responses = await heardWhileSettled(service, row, 'failed');
      expect(responses).toMatchObject([
        ['InstanceFailed', { lastError: { code: 'not-created' }, request: { eventId: onboardingId } }],
        ['sbt_aws_provisionFailure', { tenantRegistrationId: row.registrationId }],
      ]);
    },
  },
  'being deleted for a request': {
    'the reconciler finishes it without a toolkit response, whose onboarding comes too late': async (
      service,
      row,
    ) => {
      expect(await service.post(row.tenantId, requestOf(row))).toMatchObject({
        status: 409,
        json: { code: 'being-deleted' },
      });
      const responses = await heardWhileSettled(service, row, 'removed');
      expect(responses.map(([type]) => type)).toEqual(['InstanceRemoved']);
      expect((await service.delete(pathOf(row))).status).toBe(204);
      await expectRemoved(service, row);
      await service.putTenantSecret(row.tenantId, { 'api.key': storedKey });
      const { registrationId, requestedAt: sentAt } = row;
      const again = { kind: 'onboarding', id: onboardingId, sentAt, registrationId } as const;
      expect(await deliver(service, row, again)).toBe('outdated');
      expect(service.instancesOf(row.tenantId)).toEqual([]);
    },
  },
  'being deleted for an event': {
    'the reconciler finishes it, that event is answered, and its repeat changes nothing': async (
      service,
      row,
    ) => {
      const responses = await heardWhileSettled(service, row, 'removed');
      await expectRemoved(service, row);
      expect(responses).toMatchObject([['InstanceRemoved', { request: { eventId: offboardingId } }]]);
      const before = await service.rowOf(row.tenantId);
      const again = { kind: 'offboarding', id: offboardingId, sentAt: row.removalRequestedAt } as const;
      expect(await deliver(service, row, again)).toBe('already-gone');
      expect(await service.rowOf(row.tenantId)).toEqual(before);
    },
  },
  'being deleted for a request of the toolkit': {
    async 'the reconciler finishes it, and the toolkit is answered in its dialect'(service, row) {
      const responses = await heardWhileSettled(service, row, 'removed');
      await expectRemoved(service, row);
      expect(responses).toMatchObject([
        ['InstanceRemoved', { request: { eventId: offboardingId } }],
        ['sbt_aws_deprovisionSuccess', { tenantRegistrationId: row.registrationId }],
      ]);
    },
  },
  'removed by a request': {
    'an onboarding by a clock three seconds fast is too late, and a new request is not': async (
      service,
      row,
    ) => {
      await service.putTenantSecret(row.tenantId, { 'api.key': storedKey });
      const sentAt = row.removalRequestedAt + 3_000;
      expect(await deliver(service, row, { kind: 'onboarding', sentAt })).toBe('outdated');
      expect((await service.post(row.tenantId, requestOf(row))).status).toBe(201);
      await service.expectOneActiveInstance(row.tenantId);
      expect(await deliver(service, row, { kind: 'onboarding', sentAt })).toBe('outdated');
    },
  },
  'removed by an event': {
    'an onboarding sent before that event is too late, and one sent after it is not': async (
      service,
      row,
    ) => {
      await service.putTenantSecret(row.tenantId, { 'api.key': storedKey });
      const { removalRequestedAt: sentAt } = row;
      const before = { kind: 'onboarding', sentAt: sentAt - 2_000 } as const;
      expect(await deliver(service, row, before)).toBe('outdated');
      const after = { kind: 'onboarding', sentAt: sentAt + 2_000 } as const;
      expect(await deliver(service, row, after)).toBe('created');
      await service.expectOneActiveInstance(row.tenantId);
      expect(await deliver(service, row, { ...before, id: 'later' })).toBe('outdated');
    },
    async 'the same event is a repeat that changes nothing'(service, row) {
      const before = await service.rowOf(row.tenantId);
      const again = { kind: 'offboarding', id: offboardingId, sentAt: row.removalRequestedAt } as const;
      const responses = await heardAfter(service, row, again, 'already-gone');
      expect(responses).toEqual([]);
      expect(await service.rowOf(row.tenantId)).toEqual(before);
    },
  },
  'removed before it ever was': {
    'a late onboarding is ignored, and a repeated removal leaves the instance of a new request': async (
      service,
      row,
    ) => {
      await service.putTenantSecret(row.tenantId, { 'api.key': storedKey });
      const sentAt = row.removalRequestedAt - 2_000;
      expect(await deliver(service, row, { kind: 'onboarding', sentAt })).toBe('outdated');
      expect((await service.post(row.tenantId, requestOf(row))).status).toBe(201);
      const again = { kind: 'offboarding', id: offboardingId, sentAt: row.removalRequestedAt } as const;
      expect(await deliver(service, row, again)).toBe('carried-out');
      await service.expectOneActiveInstance(row.tenantId);
    },
  },
};

const cases: Case[] = [
  ...kindNames.map((kind): Case => ({
    kind,
    title: 'GET shows and lists it as before, and its token is there while it is active',
    check: expectShown,
  })),
  ...kindNames.filter(isActive).flatMap((kind): Case[] => [
    {
      kind,
      title: 'the same request again, with a key or without, is a replay, and other settings are a conflict',
      check: expectReplays,
    },
    {
      kind,
      title: 'PATCH does not send the tenant’s secret, because the source is unknown',
      check: expectUnknownSource,
    },
  ]),
  ...kindNames.flatMap((kind) =>
    Object.entries(checks[kind] ?? {}).map(([title, check]): Case => ({ kind, title, check })),
  ),
];
