import { describe, expect, test } from 'vitest';
import type { LastAudit } from '../../../../functions/model/last-audit.ts';
import { openTooLongMs } from '../../../../functions/model/timing.ts';
import { pageOf, stepFor, stepsFor } from '../../../../infra/cli/status/next-steps.ts';
import { parseOptions } from '../../../../infra/cli/status/options.ts';
import {
  ageOf,
  jsonOfOverview,
  linesOfOverview,
  linesOfTenantStatus,
} from '../../../../infra/cli/status/output.ts';
import {
  countInstances,
  findingsOf,
  troubleOf,
  type Overview,
} from '../../../../infra/cli/status/overview.ts';
import type { Found } from '../../../../infra/cli/status/rows.ts';
import { everyPage } from '../../../support/pages.ts';

const atMs = Date.parse('2026-11-26T12:00:00Z');
const minute = 60_000;

function found(tenantId: string, more: Partial<NonNullable<Found['row']>> = {}): Found {
  const key = { tenantId, elementKey: 'taxify' };
  const times = { createdAt: atMs - 60 * minute, updatedAt: atMs - minute, requestedAt: atMs - 50 * minute };
  const row = { ...key, ...times, status: 'active' as const, name: 'n', tags: [], provisionId: 'p', ...more };
  return { key: { tenantId, elementKey: row.elementKey }, row };
}
const failed = (tenantId: string, code: string, agoMs = minute) =>
  found(tenantId, { status: 'failed', lastError: { code, detail: 'a reason', at: atMs - agoMs } });
const health = (status: string, reason?: string) => ({ status, since: atMs - minute, reason });
const unreadable: Found = { key: { tenantId: 'odd', elementKey: 'taxify' }, row: undefined };

const kindsOf = async (rows: readonly Found[]) =>
  Object.fromEntries(
    (await countInstances(rows, 10)).troubles.map(({ kind, listed }) => [
      kind,
      listed.map(({ tenantId }) => tenantId),
    ]),
  );

const audit = (result: LastAudit['result'], agoMs = 60 * minute): LastAudit => ({
  startedAt: atMs - agoMs,
  endedAt: atMs - agoMs + 5_000,
  result: { ours: 2, theirs: 2, complete: true, notVisible: false, ...result },
});

async function overviewOf(rows: readonly Found[], more: Partial<Overview> = {}): Promise<Overview> {
  const instances = await countInstances(rows, 10);
  return { atMs, instances, deadLetters: { 'onboard-tenants': 0 }, lastAudit: audit({}), ...more };
}

/** Ages from 0 to 9,999 s, in no order. */
async function* manyFailed() {
  for (let i = 0; i < 10_000; i++) yield failed(`t-${i}`, 'not-created', ((i * 7_919) % 10_000) * 1_000);
}

describe('counting', () => {
  test('instances are counted by status and by health, and sorted into kinds of trouble', async () => {
    const rows = [
      found('a'),
      found('b', { health: health('healthy') }),
      found('c', { health: health('unhealthy', 'refused-by-vendor') }),
      found('d', { health: health('unknown') }),
      failed('e', 'missing-configuration'),
      found('f', { status: 'provisioning' }),
      found('g', { status: 'deleting' }),
      unreadable,
    ];
    expect(await countInstances(rows, 10)).toMatchObject({
      total: 8,
      byStatus: { active: 4, failed: 1, provisioning: 1, deleting: 1, unreadable: 1 },
      byHealth: { healthy: 1, unhealthy: 1, unknown: 1 },
    });
    expect(await kindsOf(rows)).toEqual({
      failed: ['e'],
      unhealthy: ['c'],
      unreadable: ['odd'],
      open: ['f', 'g'],
    });
  });

  test('the removal of a whole tenant is open work and no instance', async () => {
    const removal = found('leaving', { elementKey: '*', status: 'deleting', removingSince: atMs - minute });
    const { total, byStatus, oldestOpen } = await countInstances([removal], 10);
    expect({ total, byStatus }).toEqual({ total: 0, byStatus: {} });
    expect(oldestOpen).toMatchObject({ tenantId: 'leaving', elementKey: '*', since: atMs - minute });
  });

  test('the age of an open instance counts from its request or removal, not from the last try to settle it', () => {
    expect(troubleOf(found('a', { status: 'provisioning' }))?.since).toBe(atMs - 50 * minute);
    const removing = found('a', { status: 'deleting', removingSince: atMs - 30 * minute });
    expect(troubleOf(removing)?.since).toBe(atMs - 30 * minute);
    // A row of an earlier version has no such time.
    expect(troubleOf(found('a', { status: 'deleting' }))?.since).toBe(atMs - minute);
  });

  test('the longest waiting of 10,000 failed instances are listed, and all are counted', async () => {
    const { total, troubles } = await countInstances(manyFailed(), 3);
    const [of] = troubles;
    expect({ total, count: of?.count }).toEqual({ total: 10_000, count: 10_000 });
    expect(of?.listed.map(({ since }) => since)).toEqual([9_999, 9_998, 9_997].map((s) => atMs - s * 1_000));
  });
});

describe('the last audit', () => {
  test.each([
    [{}, []],
    [{ lost: 1, orphaned: 2, refilled: 3, notListed: 4 }, ['lost', 'orphaned']],
    [{ complete: false, notVisible: true }, ['notVisible', 'incomplete']],
  ])('an audit with %j has the findings %j', (result, expected) => {
    expect(findingsOf(audit(result), atMs)).toEqual(expected);
  });

  test('an audit is overdue when two of its daily runs were missed', () => {
    expect(findingsOf(audit({}, 48 * 60 * minute), atMs)).toEqual([]);
    expect(findingsOf(audit({}, 48 * 60 * minute + 1), atMs)).toEqual(['overdue']);
  });
});

describe('what to do', () => {
  test('nothing is to do while all instances are active, or open for a short time', async () => {
    const young = found('f', { status: 'provisioning', requestedAt: atMs - openTooLongMs });
    expect(stepsFor(await overviewOf([found('a'), young]))).toEqual([]);
    expect(stepsFor(await overviewOf([], { lastAudit: undefined }))).toEqual([]);
  });

  test.each([
    ['without a key', failed('a', 'missing-configuration'), 'rotate-a-tenants-key'],
    ['refused', failed('a', 'refused-by-cloud-elements'), 'rotate-a-tenants-key'],
    ['not created', failed('a', 'not-created'), 'runbook-provisioning-fails'],
    [
      'refused by its vendor',
      found('a', { health: health('unhealthy', 'refused-by-vendor') }),
      'rotate-a-tenants-key',
    ],
    ['disabled', found('a', { health: health('unhealthy', 'disabled') }), 'runbook-instances-unhealthy'],
    ['invalid', found('a', { health: health('unhealthy', 'invalid') }), 'runbook-instances-unhealthy'],
    ['gone', found('a', { health: health('unhealthy', 'gone') }), 'runbook-lost-instances'],
    ['open for long', found('a', { status: 'provisioning' }), 'runbook-oldest-unsettled'],
    [
      'not ours',
      found('a', {
        status: 'deleting',
        removingSince: atMs - 30 * minute,
        lastError: { code: 'not-ours', detail: '', at: 1 },
      }),
      'runbook-instances-not-ours',
    ],
    ['unreadable', unreadable, 'runbook-unreadable-rows'],
  ])('an instance that is %s leads to an entry of the runbook', async (_what, row, anchor) => {
    const trouble = troubleOf(row);
    expect(trouble && stepFor(trouble, atMs).anchor).toBe(anchor);
    expect(stepsFor(await overviewOf([row])).map((step) => step.anchor)).toEqual([anchor]);
  });

  test('dead letters and every finding of an audit lead to a heading of the pages, each step once', async () => {
    const all = { lost: 1, orphaned: 1, notOurs: 1, invalid: 1, disabled: 1, unreadable: 1 };
    const overview = await overviewOf([unreadable, unreadable], {
      deadLetters: { 'onboard-tenants': 1 },
      lastAudit: audit({ ...all, notVisible: true, complete: false }, 72 * 60 * minute),
    });
    const steps = stepsFor(overview);
    expect(steps).toHaveLength(10);
    const headings = [...everyPage.matchAll(/^### (.+)$/gm)].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\w -]/g, '')
        .replaceAll(' ', '-'),
    );
    for (const { anchor = '' } of steps) expect(headings).toContain(anchor);
    expect(pageOf({ text: '', anchor: 'runbook-orphans' })).toBe(
      'infra/monitoring/README.md#runbook-orphans',
    );
  });
});

describe('the output', () => {
  test('the overview has the counts on top, then a table of the instances in trouble', async () => {
    const rows = [
      found('globex', { health: health('unhealthy', 'refused-by-vendor') }),
      failed('a-longer-name', 'missing-configuration', 90 * minute),
      found('b', { status: 'provisioning', requestedAt: atMs - 3 * minute }),
    ];
    const overview = await overviewOf(rows, {
      deadLetters: { 'onboard-tenants': 2, 'apply-secrets': 0 },
      lastAudit: audit({ lost: 1 }),
    });
    expect(linesOfOverview('stage prod', overview, stepsFor(overview))).toEqual([
      'stage prod, 2026-11-26T12:00:00Z',
      '',
      'instances     3: 1 active, 1 failed, 1 provisioning',
      'health        1 unhealthy',
      'oldest open   3 min: b taxify, provisioning',
      'dead letters  onboard-tenants 2  apply-secrets 0',
      'last audit    2026-11-26T11:00:00Z, 60 min ago: lost',
      '              ours 2  theirs 2  complete true  notVisible false  lost 1',
      '',
      '           tenant         element  since                 reason',
      'failed     a-longer-name  taxify   2026-11-26T10:30:00Z  missing-configuration: a reason',
      'unhealthy  globex         taxify   2026-11-26T11:59:00Z  refused-by-vendor',
      'open       b              taxify   2026-11-26T11:57:00Z  provisioning',
      '',
      'To do',
      expect.stringMatching(/^ {2}Find the cause .*#runbook-dead-letters$/),
      expect.stringMatching(/^ {2}Put a usable key .*#rotate-a-tenants-key$/),
      expect.stringMatching(/^ {2}The instance is gone .*#runbook-lost-instances$/),
    ]);
  });

  const detail =
    'Tenant acme cannot get its taxify instance without api.key: put it into its secret and retry.';
  const troubled = async () => {
    const of = { status: 'failed' as const, lastError: { code: 'missing-configuration', detail, at: atMs } };
    return overviewOf([found('acme', of), unreadable], {
      deadLetters: { 'onboard-tenants': 1, 'offboard-tenants': 0, 'apply-secrets': 0, 'publish-results': 0 },
      lastAudit: audit({ notListed: 0, readById: 0, orphaned: 0, notOurs: 0, unreadable: 1 }),
    });
  };

  test('a terminal of 80 columns has the reason below its instance, and the page below its step', async () => {
    const overview = await troubled();
    const lines = linesOfOverview('stage prod', overview, stepsFor(overview), 80);
    expect(lines.filter((line) => line.length > 80)).toEqual([]);
    expect(lines.slice(5)).toEqual([
      '              publish-results 0',
      'last audit    2026-11-26T11:00:00Z, 60 min ago: unreadable',
      '              ours 2  theirs 2  complete true  notVisible false  notListed 0',
      '              readById 0  orphaned 0  notOurs 0  unreadable 1',
      '',
      '            tenant  element  since',
      'failed      acme    taxify   2026-11-26T12:00:00Z',
      '            missing-configuration: Tenant acme cannot get its taxify instance',
      '            without api.key: put it into its secret and retry.',
      'unreadable  odd     taxify   ?',
      '            this version cannot read its row',
      '',
      'To do',
      '  Find the cause of the dead letters, then npm run redrive',
      '    infra/monitoring/README.md#runbook-dead-letters',
      "  Put a usable key into the tenant's secret, or send a request with one",
      '    infra/monitoring/README.md#rotate-a-tenants-key',
      '  Deploy the version that wrote the row, or restore it',
      '    infra/monitoring/README.md#runbook-unreadable-rows',
    ]);
  });

  test('a terminal of 130 columns has the reason beside its instance, on as many lines as it needs', async () => {
    const overview = await troubled();
    const lines = linesOfOverview('stage prod', overview, stepsFor(overview), 130);
    expect(lines.filter((line) => line.length > 130)).toEqual([]);
    expect(lines.slice(8, 12)).toEqual([
      '            tenant  element  since                 reason',
      'failed      acme    taxify   2026-11-26T12:00:00Z  missing-configuration: Tenant acme cannot get its taxify instance without',
      '                                                   api.key: put it into its secret and retry.',
      'unreadable  odd     taxify   ?                     this version cannot read its row',
    ]);
    expect(lines.at(-1)).toMatch(
      /^ {2}Deploy .*restore it {2,}infra\/monitoring\/README.md#runbook-unreadable-rows$/,
    );
  });

  test('a tenant has no lines for what it lacks, and long texts stay right of their names', () => {
    const row = found('acme', { lastError: { code: 'c', detail, at: atMs } });
    const lines = linesOfTenantStatus(
      { localPort: 8080 },
      { tenantId: 'acme', instances: [row], steps: [{ elementKey: 'taxify', text: 'Wait' }] },
      80,
    );
    expect(lines.filter((line) => /^tags|\s$/.test(line))).toEqual([]);
    expect(lines.slice(8, 11)).toEqual([
      'lastError     c: Tenant acme cannot get its taxify instance without api.key: put',
      '              it into its secret and retry. (2026-11-26T12:00:00.000Z)',
      '',
    ]);
    expect(lines.at(-1)).toBe('  taxify: Wait');
  });

  test('the overview says how many instances are not listed', async () => {
    const rows = [failed('a', 'x'), failed('b', 'x'), failed('c', 'x')];
    const overview = await overviewOf([], { instances: await countInstances(rows, 1) });
    expect(linesOfOverview('s', overview, [])).toContain('and 2 more failed; --limit lists them');
  });

  test('foreign text is one line without control sequences', async () => {
    const row = found('a', {
      status: 'failed',
      lastError: { code: 'c', detail: 'one\n\u001b[2Jtwo', at: 1 },
    });
    const lines = linesOfOverview('s', await overviewOf([row]), []);
    expect(lines.filter((line) => line.startsWith('failed'))).toEqual([
      expect.stringMatching(/ c: one �\[2Jtwo$/),
    ]);
  });

  test('--json has the same facts, with times as text', async () => {
    const overview = await overviewOf([failed('a', 'not-created')]);
    expect(jsonOfOverview('stage prod', overview, stepsFor(overview))).toMatchObject({
      target: 'stage prod',
      at: '2026-11-26T12:00:00.000Z',
      instances: { total: 1, byStatus: { failed: 1 } },
      lastAudit: { startedAt: '2026-11-26T11:00:00.000Z', findings: [], result: { ours: 2 } },
      troubles: {
        failed: {
          count: 1,
          listed: [{ tenantId: 'a', since: '2026-11-26T11:59:00.000Z', reason: 'not-created: a reason' }],
        },
        open: { count: 0, listed: [] },
      },
      todo: [{ page: 'infra/monitoring/README.md#runbook-provisioning-fails' }],
    });
  });

  test.each([
    [-5, '0 s'],
    [119_999, '119 s'],
    [120_000, '2 min'],
    [2 * 3_600_000, '2 h'],
    [2 * 86_400_000, '2 d'],
  ])('an age of %d ms reads %s', (ms, text) => {
    expect(ageOf(ms)).toBe(text);
  });
});

test.each([
  [[], 'Expected one of --stage <stage> and --local.'],
  [['--stage', 's', '--local'], 'Expected one of --stage <stage> and --local.'],
  [['--local', 'a', 'b'], 'Expected at most one tenant, got 2.'],
  [['--local', 'a b'], 'Expected the id of a tenant, got "a b".'],
  [['--local', '--limit', '0'], 'Expected --limit to be a whole number from 1 to 10000'],
  [['--local', '--yes'], '--yes'],
])('the arguments %j are refused', (args, message) => {
  expect(() => parseOptions(args, {})).toThrow(message);
});

test('arguments decide the target, and whether one tenant is shown or all', () => {
  expect(parseOptions(['--stage', 'prod'], {})).toEqual({
    where: { stage: 'prod' },
    tenantId: undefined,
    limit: 20,
    json: false,
  });
  expect(parseOptions(['--local', 'acme', '--json', '--limit', '5'], { PORT: '9000' })).toEqual({
    where: { localPort: 9_000 },
    tenantId: 'acme',
    limit: 5,
    json: true,
  });
});
