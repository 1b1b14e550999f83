import { describe, expect, test } from 'vitest';
import { oldestOnboardingMs } from '../../../../functions/model/timing.ts';
import {
  linesOf,
  linesOfUnseen,
  readDeadLetter,
  type QueueName,
} from '../../../../infra/cli/redrive/dead-letter.ts';
import { parseOptions } from '../../../../infra/cli/redrive/options.ts';
import { everyPage } from '../../../support/pages.ts';

const event = (detailType: string, detail: unknown, more: object = {}) =>
  JSON.stringify({
    id: 'e-1',
    source: 'crm.example',
    'detail-type': detailType,
    time: '2026-11-23T10:00:00Z',
    detail,
    ...more,
  });

const arrivedAtMs = Date.parse('2026-11-23T12:00:00.123Z');

/** Reads a dead letter, by default an hour after its arrival. */
const read = (queue: QueueName, body: string, { messageId = 'm-0', nowMs = arrivedAtMs + 3_600_000 } = {}) =>
  readDeadLetter(queue, { messageId, arrivedAtMs, body }, nowMs);

const shown = (...messages: [QueueName, string][]): string[] =>
  linesOf(messages.map(([queue, body], index) => read(queue, body, { messageId: `m-${index}` })));

test('a letter is read by the rules of the function: what it would refuse stays, what it ignores does not count', () => {
  const toolkits = event('sbt_aws_onboardingRequest', { tenantId: 'acme', tenantRegistrationId: 'r' });
  const ahead = toolkits.replace('{"tenantId"', '{"price":1.10,"price":2,"tenantId"');
  expect(read('onboard-tenants', ahead)).toMatchObject({ tenantId: 'acme', body: ahead });
  const twice = event('TenantOnboarded', { tenantId: 'acme' }).replace(
    '{"tenantId"',
    '{"name":"a","name":"b","tenantId"',
  );
  expect(read('onboard-tenants', twice)).toMatchObject({ fault: '#/name expected each name only once' });
});

test('the list shows kind and readability of each dead letter', () => {
  expect(
    shown(
      ['onboard-tenants', 'hunter2 is not JSON'],
      ['onboard-tenants', event('TenantOnboarded', { tenantId: 'acme' })],
      ['offboard-tenants', event('TenantOffboarded', { tenantId: 'a-tenant' })],
      [
        'onboard-tenants',
        event('TenantOnboarded', { tenantId: 'globex', element: { key: 'freshdeskv2' }, name: '<hunter2>' }),
      ],
    ),
  ).toEqual([
    'sent                  event             tenant    element',
    '2026-11-23T10:00:00Z  TenantOnboarded   acme      taxify       readable',
    '2026-11-23T10:00:00Z  TenantOffboarded  a-tenant  (all)        readable',
    '2026-11-23T10:00:00Z  TenantOnboarded   globex    freshdeskv2  ' +
      '#/name expected a value in place of the placeholder in angle brackets, which was not filled in (message m-3)',
    '2026-11-23T12:00:00Z  ?                 ?         ?            is not JSON; it breaks at line 1, column 1 (message m-0)',
  ]);
});

test('a dead letter about a secret shows its tenant, and goes back as it came', () => {
  const detail = { name: 'element-onboarding/prod/tenants/acme/taxify', labelUpdated: 'AWSCURRENT' };
  const body = event('Secret Label Updated', detail, { source: 'aws.secretsmanager' });
  expect(read('apply-secrets', body).body).toBe(body);
  expect(shown(['apply-secrets', body])[1]).toBe(
    '2026-11-23T10:00:00Z  Secret Label Updated  acme    taxify   readable',
  );
});

test.each([
  ['another kind of event', event('\u001b[31mhunter2', { tenantId: 'hunter2 hunter2' })],
  ['a time that is none', event('TenantOnboarded', { tenantId: 'acme' }, { time: 'hunter2' })],
  ['a detail that is none', event('TenantOnboarded', 'hunter2')],
  ['values in wrong places', event('TenantOnboarded', { tenantId: ['hunter2'], element: 'hunter2' })],
  ['many mistakes', event('TenantOnboarded', { a: 'hunter2', b: 1, c: 1, d: 1, e: 1 })],
  ['no object', '"hunter2"'],
  ['null', 'null'],
])('a message with %s is listed without any text that its sender could choose freely', (_what, body) => {
  const [, line = ''] = shown(['onboard-tenants', body]);
  expect(line).toContain('(message m-0)');
  expect(line).not.toContain('hunter2');
  expect(line.length).toBeLessThan(300);
});

describe('the time of an event that goes back', () => {
  const detail = { tenantId: 'acme', tags: ['eu'] };
  const withTime = (time: string) => event('TenantOnboarded', detail, { time, region: 'eu-west-1' });

  test.each([
    ['years later', '2031-01-01T00:00:00Z'],
    ['a second later', '2026-11-23T12:00:01Z'],
    ['later by a part of a second', '2026-11-23T12:00:00.124Z'],
    ['later, in another zone', '2026-11-23T09:00:01-03:00'],
  ])(
    'an event time %s than its arrival is cut to the second of the arrival and marked, and nothing else changes',
    (_what, time) => {
      const letter = read('onboard-tenants', withTime(time));
      expect(JSON.parse(letter.body ?? 'null')).toEqual({
        ...JSON.parse(withTime(time)),
        time: '2026-11-23T12:00:00Z',
        isTimeCut: true,
      });
      expect(letter.sentAt).toEqual(new Date('2026-11-23T12:00:00Z'));
      expect(linesOf([letter])[1]).toContain('taxify   readable, its time cut to its arrival');
    },
  );

  test.each(['2026-11-23T12:00:00Z', '2026-11-23T12:00:00.123Z', '2026-11-23T10:00:00+01:00'])(
    'an event time %s, not later than its arrival, is kept, and so is every character of the body',
    (time) => {
      const body = `\n ${withTime(time)}`;
      expect(read('onboard-tenants', body).body).toBe(body);
    },
  );

  test('the time of an offboarding is cut to its arrival, too', () => {
    const body = event('TenantOffboarded', { tenantId: 'acme' }, { time: '2031-01-01T00:00:00Z' });
    expect(read('offboard-tenants', body).body).toContain('"time":"2026-11-23T12:00:00Z"');
  });
});

describe('an event of long ago', () => {
  const onboarding = event('TenantOnboarded', { tenantId: 'acme' }, { time: '2026-11-23T12:00:00Z' });
  const offboarding = event('TenantOffboarded', { tenantId: 'acme' }, { time: '2026-11-23T12:00:00Z' });
  const oldestMs = Date.parse('2026-11-23T12:00:00Z') + oldestOnboardingMs;

  test('an onboarding that is too old is listed and does not go back', () => {
    expect(read('onboard-tenants', onboarding, { nowMs: oldestMs }).body).toBe(onboarding);
    const tooOld = read('onboard-tenants', onboarding, { nowMs: oldestMs + 1 });
    expect(tooOld.body).toBeUndefined();
    expect(linesOf([tooOld])[1]).toBe(
      '2026-11-23T12:00:00Z  TenantOnboarded  acme    taxify   ' +
        'is older than 19.5 days and would be ignored (message m-0)',
    );
  });

  test('an onboarding dated ahead is as old as its arrival', () => {
    const ahead = event('TenantOnboarded', { tenantId: 'acme' }, { time: '2031-01-01T00:00:00Z' });
    expect(read('onboard-tenants', ahead, { nowMs: oldestMs + 1 }).body).toBeUndefined();
  });

  test('the pages give the same age', () => {
    const ages = [...everyPage.matchAll(/older than ([\d.]+) days/g)].map(([, days]) => Number(days));
    expect(new Set(ages)).toEqual(new Set([oldestOnboardingMs / 86_400_000]));
  });

  test('a removal goes back however old it is', () => {
    const longAfter = { nowMs: oldestMs + oldestOnboardingMs };
    expect(read('offboard-tenants', offboarding, longAfter).body).toBe(offboarding);
  });
});

test('hidden and unreceived dead letters are reported, and nothing when there are none', () => {
  expect(linesOfUnseen({ visible: 0, hidden: 0 })).toEqual([]);
  expect(linesOfUnseen({ visible: 1_200, hidden: 3 })).toEqual([
    'In the queue, but not received: about 1,200. Run the command again.',
    'Hidden: about 3. Another run holds them, or one that was killed: they become visible again within 15 minutes.',
  ]);
});

test.each([
  [[], 'Expected --stage <stage>.'],
  [['--stage', 'prod', '--queue', 'publish-results'], "positions in the table's stream, not events"],
  [['--stage', 'prod', '--queue', 'others'], 'onboard-tenants or offboard-tenants'],
  [['--stage', 'prod', '--limit', '0'], 'Expected --limit to be a whole number from 1 to 10000, got "0".'],
  [['--stage', 'prod', '--purge'], '--purge'],
])('the arguments %j are refused', (args, message) => {
  expect(() => parseOptions(args)).toThrow(message);
});
