import { expect, test } from 'vitest';
import { linesOf, readDeadLetter, type QueueName } from '../infra/redrive/dead-letter.ts';
import { parseOptions } from '../infra/redrive/options.ts';

const event = (detailType: string, detail: unknown, more: object = {}) =>
  JSON.stringify({
    id: 'e-1',
    source: 'crm.example',
    'detail-type': detailType,
    time: '2026-11-23T10:00:00Z',
    detail,
    ...more,
  });

function shown(...messages: [QueueName, string][]): string[] {
  const letters = messages.map(([queue, body], index) =>
    readDeadLetter(queue, { messageId: `m-${index}`, sentAt: new Date('2026-11-23T12:00:00.123Z'), body }),
  );
  return linesOf(letters);
}

test('the list tells of each dead letter what it is and whether it can be read', () => {
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
      '#/name expected no "<", no ">" and no control characters (message m-3)',
    '2026-11-23T12:00:00Z  ?                 ?         ?            is not JSON (message m-0)',
  ]);
});

test.each([
  ['another kind of event', event('\u001b[31mhunter2', { tenantId: 'hunter2 hunter2' })],
  ['a time that is none', event('TenantOnboarded', { tenantId: 'acme' }, { time: 'hunter2' })],
  ['a detail that is none', event('TenantOnboarded', 'hunter2')],
  ['values in wrong places', event('TenantOnboarded', { tenantId: ['hunter2'], element: 'hunter2' })],
  ['many mistakes', event('TenantOnboarded', { a: 'hunter2', b: 1, c: 1, d: 1, e: 1 })],
  ['no object', '"hunter2"'],
  ['null', 'null'],
])('of a message with %s nothing is shown that its sender could choose freely', (_what, body) => {
  const [, line = ''] = shown(['onboard-tenants', body]);
  expect(line).toContain('(message m-0)');
  expect(line).not.toContain('hunter2');
  expect(line.length).toBeLessThan(300);
});

test.each([
  [[], 'of which stage'],
  [['--stage', 'prod', '--queue', 'publish-results'], "places in the table's stream and not events"],
  [['--stage', 'prod', '--queue', 'others'], 'onboard-tenants or offboard-tenants'],
  [['--stage', 'prod', '--limit', '0'], '--limit is to be'],
  [['--stage', 'prod', '--purge'], '--purge'],
])('%j is refused', (args, message) => {
  expect(() => parseOptions(args)).toThrow(message);
});
