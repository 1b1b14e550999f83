import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { offboardingFromEvent, settingsFromEvent } from '../../../functions/model/events.ts';
import { parseJson } from '../../../functions/model/json.ts';
import { triggers, type EventPattern } from '../../../functions/triggers.ts';
import { eventSchemas } from '../../../infra/contract/events.ts';
import type { JsonSchema } from '../../../infra/contract/json-schema.ts';
import { isDeployed } from '../../service/deployed/endpoint.ts';
import { eventOf, startService } from '../../support/running-service.ts';
import { sampleSize } from '../../support/sample-size.ts';
import { damaged, valuesOf } from './arbitrary-json.ts';
import { countsOtherwise } from './known-differences.ts';
import { closed, createValidator } from './validating.ts';

const schemas = eventSchemas();
const faultsOf = createValidator(schemas);
const namesOf = ({ oneOf }: { oneOf: { $ref: string }[] }) =>
  oneOf.map(({ $ref }) => $ref.slice('#/$defs/'.length));

const readers: [readonly EventPattern[], (message: unknown, arrivedAt: number) => unknown][] = [
  [triggers['onboard-tenants'].queue.events, settingsFromEvent],
  [triggers['offboard-tenants'].queue.events, offboardingFromEvent],
];

test('an event is accepted exactly when the schemas of incoming events allow it', () => {
  const defs: Record<string, JsonSchema> = schemas.$defs;
  const allowed = fc.oneof(...namesOf(schemas.$defs.incoming).map((name) => valuesOf(defs[name] ?? true)));
  const seen = { taken: 0, refused: 0 };
  const numRuns = sampleSize(400, 1_000);
  fc.assert(
    fc.property(fc.oneof(allowed, damaged(allowed)), (event) => {
      // As the bus delivers it.
      const text = JSON.stringify(event) ?? 'null';
      const message: unknown = JSON.parse(text);
      const read = parseJson(text);
      const faults = faultsOf('/$defs/incoming', message);
      const isTaken = readers.some(
        ([patterns, readEvent]) =>
          'json' in read &&
          patterns.some((pattern) => matches(pattern, message)) &&
          !isRefused(() => readEvent(read.json, Date.now())),
      );
      seen[isTaken ? 'taken' : 'refused'] += 1;
      const differs = countsOtherwise(message);
      expect({ message, faults, isTaken, differs }).toMatchObject({
        isTaken: differs ? isTaken : faults.length === 0,
      });
    }),
    { seed: 20_261_123, numRuns, endOnFailure: true },
  );
  expect(Math.min(seen.taken, seen.refused)).toBeGreaterThan(numRuns / 4);
}, 30_000);

function matches(pattern: EventPattern, message: unknown): boolean {
  if (typeof message !== 'object' || message === null) return false;
  return Object.entries(pattern).every(([field, values]) => values.includes(Reflect.get(message, field)));
}

function isRefused(read: () => unknown): boolean {
  try {
    read();
    return false;
  } catch (error) {
    if (error instanceof OnboardingError && error.code === 'invalid-request') return true;
    throw error;
  }
}

test.skipIf(isDeployed)(
  'every published event has a schema, and every schema has a published event',
  async () => {
    // Ten deliveries of a message without a key would take 20 s.
    await using service = await startService({ queue: { visibilityTimeoutMs: 100 } });
    // A tenant with a key and one without, in each of the dialects.
    const tenants = ['crm', 'controlPlaneEventSource', 'sbt.control.plane'].flatMap((source) => {
      const prefix = source === 'sbt.control.plane' ? 'sbt_aws_' : '';
      const types =
        source === 'crm'
          ? ['TenantOnboarded', 'TenantOffboarded']
          : [`${prefix}onboardingRequest`, `${prefix}offboardingRequest`];
      return ['with-key', 'without-key'].map((kind) => {
        const tenantId = `${source.replaceAll('.', '-')}-${kind}`;
        const detail = {
          tenantId,
          ...(source !== 'crm' && { tenantRegistrationId: `registration-${kind}` }),
        };
        const [onboarding, offboarding] = types.map((type) => eventOf(source, type, detail));
        if (!onboarding || !offboarding) throw new Error('An event is missing.');
        return { tenantId, kind, onboarding, offboarding };
      });
    });
    for (const { tenantId, kind } of tenants) {
      if (kind === 'with-key') await service.putTenantSecret(tenantId, { 'api.key': 'any' });
    }
    await service.deliverEvents(...tenants.map(({ onboarding }) => onboarding));
    await service.patch('/tenants/crm-with-key/instances/taxify', { name: 'Renamed' });
    for (const disabled of [true, true, false]) {
      for (const instance of service.instancesOf('crm-with-key')) instance.disabled = disabled;
      await service.request({ method: 'POST', path: '/tenants/crm-with-key/instances/taxify/check' });
    }
    await service.deliverEvents(...tenants.map(({ offboarding }) => offboarding));

    const validate = createValidator(withClosedDetails);
    const events = await service.events();
    expect(events.map((event) => validate('', event)).filter((faults) => faults.length > 0)).toEqual([]);
    const { incoming, outgoing } = schemas.$defs;
    expect(new Set(events.map((event) => event['detail-type']))).toEqual(
      new Set([...namesOf(incoming), ...namesOf(outgoing)]),
    );
  },
  30_000,
);

/** Only the used fields of the envelope are described. */
const withClosedDetails = {
  ...schemas,
  $defs: Object.fromEntries(
    Object.entries<JsonSchema>(schemas.$defs).map(([name, { properties = {}, ...schema }]) => [
      name,
      { ...schema, properties: closed(properties) },
    ]),
  ),
};
