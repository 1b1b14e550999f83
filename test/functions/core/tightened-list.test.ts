import { expect, test } from 'vitest';
import { createApplying } from '../../../functions/core/apply-secret.ts';
import { createProvisioning } from '../../../functions/core/provision.ts';
import { createTrusting } from '../../../functions/core/trust.ts';
import { createUpdating } from '../../../functions/core/update.ts';
import { catalogWith } from '../../../functions/model/built-in-catalog.ts';
import { tenantSecretName } from '../../../functions/model/configuration.ts';
import type { Elements } from '../../../functions/model/elements.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { settingsOf, type Configuration } from '../../../functions/model/instance.ts';
import type { CloudElements, UpdateOutcome } from '../../../functions/core/ports.ts';
import { fakePorts } from '../../support/fake-ports.ts';
import { errorOf } from '../../support/real-servers.ts';

const key = { tenantId: 'acme', elementKey: 'shop' };
const withSites = (...oneOf: string[]) =>
  catalogWith({
    shop: { required: ['api.key'], ...(oneOf.length > 0 && { addresses: { site: { oneOf } } }) },
  });
const stored: Configuration = { 'api.key': 'stored' };

/** A service whose list of sites a test changes, and the configurations that Cloud Elements has received. */
function openService(calls: Partial<CloudElements> = {}) {
  const sent: Configuration[] = [];
  let updated: UpdateOutcome = { kind: 'updated' };
  let created: Awaited<ReturnType<CloudElements['create']>> = {
    kind: 'created',
    instance: { id: 7, token: 'token-of-7' },
  };
  const fake = fakePorts({
    create: async ({ configuration }) => {
      sent.push(configuration);
      return created;
    },
    update: async (_instance, { configuration = {} }) => {
      sent.push(configuration);
      return updated;
    },
    ...calls,
  });
  let catalog = withSites('eu', 'us');
  const ports = () => ({
    ...fake.ports,
    catalog,
    readTenantSecret: async () => ({ name: 'tests/tenants/acme/shop', configuration: stored }),
  });
  const deadlineAt = () => fake.clock.nowMs + 29_000;
  const post = (configuration: Configuration) =>
    createProvisioning(ports())(settingsOf(key, { configuration }), {
      deadlineAt: deadlineAt(),
      recordRefusal: false,
    });
  const event = (configuration: Configuration, eventId: string) =>
    createProvisioning(ports())(
      settingsOf(key, { configuration }, { dialect: 'native', eventId, sentAt: fake.clock.nowMs }),
      { deadlineAt: deadlineAt(), recordRefusal: true },
    );
  const patch = (configuration: Configuration) =>
    createUpdating(ports())(key, { configuration }, { deadlineAt: deadlineAt() });
  const secretChanged = () =>
    createApplying({
      ...ports(),
      update: createUpdating(ports()),
      provision: createProvisioning(ports()),
      tenantSecretsPrefix: 'tests',
    })(
      { ...key, secretName: tenantSecretName('tests', key), arrivedAt: fake.clock.nowMs },
      { deadlineAt: deadlineAt(), deliveries: 1 },
    );
  const trust = () =>
    createTrusting({ store: fake.store, catalog, now: () => fake.clock.nowMs })(key, {
      lookedAtMs: fake.clock.nowMs,
    });
  return {
    ...fake,
    sent,
    post,
    event,
    patch,
    secretChanged,
    trust,
    row: () => fake.store.get(key),
    list: (...sites: string[]) => void (catalog = withSites(...sites)),
    use: (elements: Elements) => void (catalog = catalogWith(elements)),
    answerUpdatesWith: (outcome: UpdateOutcome) => void (updated = outcome),
    answerCreatesWith: (outcome: typeof created) => void (created = outcome),
  };
}

test('a stored address that the list no longer accepts keeps the secret away until PATCH sets another', async () => {
  const service = openService();
  await service.post({ site: 'us' });
  service.list('eu');
  const error = await errorOf(service.patch({}));
  expect(error.code).toBe('configuration-from-request');
  expect(error.message).toContain('set site to a value that is accepted now with PATCH');
  expect((await errorOf(service.secretChanged())).code).toBe('configuration-from-request');
  await service.patch({ site: 'eu' });
  await service.patch({});
  expect(service.sent).toEqual([{ ...stored, site: 'us' }, { site: 'eu' }, stored]);
});

test('an address that is gone from the list keeps the secret away until the operator vouches for it', async () => {
  const service = openService();
  await service.post({ site: 'us' });
  service.list();
  const error = await errorOf(service.patch({}));
  expect(error.message).toContain('npm run trust');
  expect((await errorOf(service.patch({ site: 'us' }))).code).toBe('invalid-request');
  expect(await service.trust()).toMatchObject({ kind: 'trusted', entries: ['site'] });
  await service.patch({});
  expect(service.sent).toHaveLength(2);
  expect((await service.row())?.allowListed).toEqual({});
});

test('the operator vouches for a value that the list no longer accepts', async () => {
  const service = openService();
  await service.post({ site: 'us' });
  service.list('eu');
  expect(await service.trust()).toMatchObject({ kind: 'trusted', was: 'secret', entries: ['site'] });
  await service.patch({});
  expect(service.sent.at(-1)).toEqual(stored);
});

test('an address of unknown outcome counts as set, until a later update has surely replaced it', async () => {
  const service = openService();
  await service.post({ site: 'eu' });
  service.answerUpdatesWith({ kind: 'unknown', reason: 'no response' });
  await errorOf(service.patch({ site: 'us' }));
  service.answerUpdatesWith({ kind: 'updated' });
  expect((await service.row())?.valuesInDoubt).toEqual({ site: ['us'] });
  service.list('eu');
  expect((await errorOf(service.patch({}))).code).toBe('configuration-from-request');
  // It may still take effect over this one.
  await service.patch({ site: 'eu' });
  expect((await errorOf(service.patch({}))).code).toBe('configuration-from-request');
  service.clock.nowMs = ((await service.row())?.updateInDoubtUntil ?? 0) + 1;
  await service.patch({ site: 'eu' });
  await service.patch({});
  expect(service.sent.at(-1)).toEqual(stored);
});

test('an address that was sent twice may still take effect over a later one', async () => {
  const outcomes: UpdateOutcome[] = [{ kind: 'unknown', reason: 'no response' }];
  const service = openService({ update: async () => outcomes.pop() ?? { kind: 'updated' } });
  await service.post({ site: 'eu' });
  await service.patch({ site: 'us' });
  await service.patch({ site: 'eu' });
  service.list('eu');
  expect((await errorOf(service.patch({}))).code).toBe('configuration-from-request');
  service.clock.nowMs = ((await service.row())?.updateInDoubtUntil ?? 0) + 1;
  await service.patch({ site: 'eu' });
  expect((await service.patch({})).valuesInDoubt).toBeUndefined();
});

test('an address whose update certainly had no effect leaves no doubt', async () => {
  const service = openService();
  await service.post({ site: 'eu' });
  const error = new OnboardingError('refused-by-cloud-elements', 'No.');
  service.answerUpdatesWith({ kind: 'refused', error });
  await errorOf(service.patch({ site: 'us' }));
  service.answerUpdatesWith({ kind: 'updated' });
  service.list('eu');
  await service.patch({});
  expect(service.sent.at(-1)).toEqual(stored);
});

test('a repeat with an address that is no longer accepted is refused, as POST and as event', async () => {
  const service = openService();
  await service.post({ site: 'us' });
  service.list('eu');
  expect((await errorOf(service.post({ site: 'us' }))).code).toBe('invalid-request');
  expect((await errorOf(service.event({ site: 'us' }, 'event-1'))).code).toBe('settings-conflict');
  expect(service.sent).toHaveLength(1);
});

test('a repeat with the caller’s own key stays one when its entries are listed later, or no longer', async () => {
  const service = openService();
  const requested = { 'api.key': 'own', site: 'eu' };
  service.list();
  await service.post(requested);
  service.list('eu', 'us');
  expect((await service.post(requested)).outcome).toBe('replayed');
  for (const others of [
    { 'api.key': 'own', site: 'us' },
    { 'api.key': 'own' },
    { ...requested, more: 'x' },
  ]) {
    expect((await errorOf(service.post(others))).code).toBe('settings-conflict');
  }
  const listed = openService();
  await listed.post(requested);
  listed.list();
  expect((await listed.post(requested)).outcome).toBe('replayed');
  expect((await errorOf(listed.post({ 'api.key': 'own', site: 'us' }))).code).toBe('settings-conflict');
  expect([...service.sent, ...listed.sent]).toEqual([requested, requested]);
});

test('a failed request with an address that is no longer accepted is not retried by a changed secret', async () => {
  const service = openService();
  const error = new OnboardingError('refused-by-cloud-elements', 'Bad key.');
  service.answerCreatesWith({ kind: 'refused', error });
  await errorOf(service.event({ site: 'us' }, 'event-1'));
  service.answerCreatesWith({ kind: 'created', instance: { id: 8, token: 'token-of-8' } });
  service.list('eu');
  expect(await service.secretChanged()).toMatchObject({ outcome: 'not-from-secret', retry: false });
  expect(service.sent).toHaveLength(1);
  service.list('eu', 'us');
  expect(await service.secretChanged()).toMatchObject({ outcome: 'provisioned' });
  expect(service.sent).toHaveLength(2);
});

test('a redelivered event with an address that is no longer accepted is refused, before anything is sent', async () => {
  const service = openService();
  const error = new OnboardingError('refused-by-cloud-elements', 'Bad key.');
  service.answerCreatesWith({ kind: 'refused', error });
  await errorOf(service.event({ site: 'us' }, 'event-1'));
  service.list('eu');
  expect((await errorOf(service.event({ site: 'us' }, 'event-1'))).code).toBe('invalid-request');
  expect(service.sent).toHaveLength(1);
});

test('the operator vouches for an address that a request had set before the list named it', async () => {
  const service = openService();
  service.list();
  await service.post({ 'api.key': 'own', site: 'elsewhere' });
  service.list('eu', 'us');
  expect(await service.trust()).toMatchObject({ was: 'request', entries: ['api.key', 'site'] });
  expect(await service.row()).toMatchObject({ source: 'secret', requestEntries: [] });
});

test('an entry with the name of an inherited property is set, changed and judged as any other', async () => {
  const service = openService();
  service.use({ shop: { required: ['api.key'], allowed: { constructor: 'flag' as const } } });
  await service.post({ constructor: true });
  await service.patch({ constructor: false });
  await service.patch({});
  expect(service.sent).toEqual([{ ...stored, constructor: true }, { constructor: false }, stored]);
  service.list();
  expect((await errorOf(service.patch({}))).code).toBe('configuration-from-request');
  expect(await service.trust()).toMatchObject({ kind: 'trusted', entries: ['constructor'] });

  const ofRequests = openService();
  const own: Configuration = { 'api.key': 'own', constructor: 'x' };
  await ofRequests.post(own);
  await ofRequests.patch(own);
  expect((await errorOf(ofRequests.patch({}))).code).toBe('configuration-from-request');
});
