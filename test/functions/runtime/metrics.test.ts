import { afterEach, describe, expect, test, vi } from 'vitest';
import { metricNamespace, metricService } from '../../../functions/model/metric-names.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import * as metrics from '../../../functions/runtime/metrics.ts';
import { captureLines, metricsIn } from '../../support/written-lines.ts';

const lines = captureLines();
/** The module as a new process has it, which reads stage and function once. */
async function inNewProcess(environment: Record<string, string | undefined>) {
  for (const name of ['STAGE', 'AWS_LAMBDA_FUNCTION_NAME']) vi.stubEnv(name, environment[name]);
  vi.resetModules();
  return import('../../../functions/runtime/metrics.ts');
}
afterEach(() => {
  vi.unstubAllEnvs();
});

/** The metrics that are published after `act`. */
const published = (act: () => void, { publishMetrics } = metrics) => {
  lines.length = 0;
  act();
  publishMetrics();
  return metricsIn(lines);
};

describe('the lines of metrics', () => {
  test('metrics are written by their dimensions, in the embedded metric format, once', async () => {
    const fresh = await inNewProcess({ STAGE: 'tests', AWS_LAMBDA_FUNCTION_NAME: 'a-function' });
    published(() => {
      fresh.measure('Succeeded');
      fresh.measure('UpstreamLatency', 20, 'GET /ping');
      fresh.measure('UpstreamLatency', 30, 'GET /ping');
      fresh.measure('UpstreamLatency', 40, 'GET /instances');
      fresh.measure('TakeOvers');
      fresh.measure('OldestUnsettledAge', 7);
    }, fresh);
    const common = { service: metricService, stage: 'tests' };
    const lineOf = (own: object, values: object, units: Record<string, string>) => ({
      _aws: {
        Timestamp: expect.any(Number),
        CloudWatchMetrics: [
          {
            Namespace: metricNamespace,
            Dimensions: [['service', 'stage', ...Object.keys(own)]],
            Metrics: Object.entries(units).map(([Name, Unit]) => ({ Name, Unit })),
          },
        ],
      },
      ...common,
      ...own,
      ...values,
    });
    expect(lines).toEqual([
      lineOf({ function: 'a-function' }, { Succeeded: [1] }, { Succeeded: 'Count' }),
      lineOf({ operation: 'GET /ping' }, { UpstreamLatency: [20, 30] }, { UpstreamLatency: 'Milliseconds' }),
      lineOf({ operation: 'GET /instances' }, { UpstreamLatency: [40] }, { UpstreamLatency: 'Milliseconds' }),
      lineOf(
        {},
        { TakeOvers: [1], OldestUnsettledAge: [7] },
        { TakeOvers: 'Count', OldestUnsettledAge: 'Seconds' },
      ),
    ]);
    expect(published(() => {}, fresh)).toEqual({});
  });

  test('a line has at most a hundred values of a metric', () => {
    published(() => {
      for (let index = 0; index < 201; index++) metrics.measure('TakeOvers', index);
    });
    expect(lines.map((line) => line['TakeOvers'])).toEqual([
      Array.from({ length: 100 }, (_, index) => index),
      Array.from({ length: 100 }, (_, index) => index + 100),
      [200],
    ]);
  });

  test('metrics of a process without settings are written as unknown', async () => {
    const fresh = await inNewProcess({});
    published(() => fresh.measure('Succeeded'), fresh);
    expect(lines).toMatchObject([{ stage: 'unknown', function: 'unknown' }]);
  });
});

describe('measurements', () => {
  const busy = new OnboardingError('busy', 'Later.');
  const upstream = new OnboardingError('cloud-elements-unreachable', 'No.');
  const refused = new OnboardingError('invalid-request', 'No.');
  test.each<[string, { error?: unknown; isPending?: boolean }, string]>([
    ['a success', {}, 'Succeeded'],
    ['an accepted request', { isPending: true }, 'Pending'],
    ['a failure to be retried', { error: busy }, 'Pending'],
    ['a failure of this service or Cloud Elements', { error: upstream }, 'Failed'],
    ['a refusal', { error: refused }, 'Refused'],
    ['a bug that was recognized', { error: new OnboardingError('internal', 'No row.') }, 'Failed'],
    ['any other error', { error: new TypeError('a bug') }, 'Failed'],
    ['a thrown null', { error: null }, 'Failed'],
  ])('%s counts as such: %j', (_what, outcome, name) => {
    expect(published(() => metrics.measureOutcome(outcome))).toEqual({ [name]: [1] });
  });

  test.each([
    ['answered', {}],
    ['failed', { UpstreamFailures: [1] }],
    ['throttled', { UpstreamThrottled: [1] }],
    ['credentials-rejected', { PlatformCredentialsRejected: [1] }],
    ['not-tried', {}],
  ] as const)('a call that is %s counts, and its duration if it was sent', (outcome, counted) => {
    const call = { operation: 'GET /ping', outcome };
    expect(published(() => metrics.measureCall(call))).toEqual(counted);
    expect(published(() => metrics.measureCall({ ...call, durationMs: 0 }))).toEqual({
      ...counted,
      UpstreamLatency: [0],
    });
    expect(lines.filter(({ operation }) => operation === 'GET /ping')).toHaveLength(1);
  });

  test('a run of the reconciler reports an age in seconds, and unreadable rows only if it met some', () => {
    const oldestUnsettledMs = 1_600;
    expect(published(() => metrics.measureReconciliation({ oldestUnsettledMs }))).toEqual({
      OldestUnsettledAge: [2],
    });
    expect(published(() => metrics.measureReconciliation({ oldestUnsettledMs: 0, unreadable: 1 }))).toEqual({
      OldestUnsettledAge: [0],
      UnreadableRows: [1],
    });
  });

  test('a run of checks reports how many had a result', () => {
    expect(published(() => metrics.measureChecks({ healthy: 5, unhealthy: 2, unknown: 1 }))).toEqual({
      ChecksConclusive: [7],
      ChecksInconclusive: [1],
    });
  });

  const none = { orphaned: 0, lost: 0, notOurs: 0, invalid: 0, disabled: 0, unreadable: 0 };
  const some = { orphaned: 1, lost: 2, notOurs: 3, invalid: 4, disabled: 5, unreadable: 6 };
  const zeros = {
    Orphans: [0],
    InstancesNotOurs: [0],
    InvalidInstances: [0],
    DisabledInstances: [0],
    UnreadableRows: [0],
  };
  const counts = {
    Orphans: [1],
    LostInstances: [2],
    InstancesNotOurs: [3],
    InvalidInstances: [4],
    DisabledInstances: [5],
    UnreadableRows: [6],
  };
  test.each<[boolean, boolean, typeof none, object]>([
    [true, false, none, { ...zeros, LostInstances: [0] }],
    [true, false, some, counts],
    [true, true, none, zeros],
    [true, true, some, counts],
    [false, false, none, {}],
    [false, false, some, counts],
    [false, true, none, {}],
  ])(
    'an audit (complete: %s, not visible: %s) reports the certain counts of %j',
    (complete, notVisible, drift, counted) => {
      expect(published(() => metrics.measureAudit({ ...drift, complete, notVisible }))).toEqual({
        AuditsIncomplete: [complete ? 0 : 1],
        AuditsNotVisible: [notVisible ? 1 : 0],
        ...counted,
      });
    },
  );
});
