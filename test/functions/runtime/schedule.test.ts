import { expect, test } from 'vitest';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { log } from '../../../functions/runtime/log.ts';
import { measure } from '../../../functions/runtime/metrics.ts';
import { scheduleHandler } from '../../../functions/runtime/schedule.ts';
import { captureLines, context, logIn, metricsIn } from '../../support/written-lines.ts';

const lines = captureLines();
let opened = 0;
const handlerOf = (run: (deadlineAt: number, ports: number) => Promise<{ settled: number }>) =>
  scheduleHandler({
    open: () => (opened += 1),
    run,
    measure: ({ settled }) => measure('TakeOvers', settled),
  });
const line = { message: 'run', awsRequestId: 'request-1', durationMs: expect.any(Number) };

test('a run has as long as its invocation, and its facts are its result, log line and metrics', async () => {
  const given: number[][] = [];
  const handler = handlerOf(async (...args) => {
    given.push(args);
    return { settled: 3 };
  });
  const before = Date.now();
  expect(await handler({}, context)).toEqual({ settled: 3 });
  expect(logIn(lines)).toMatchObject([{ ...line, level: 'INFO', outcome: 'done', settled: 3 }]);
  expect(Number(logIn(lines)[0]?.['durationMs'])).toBeLessThan(5_000);
  expect(metricsIn(lines)).toEqual({ TakeOvers: [3], Succeeded: [1] });
  await handler({}, context);
  const [[deadlineAt = 0, ports] = [], [, again] = []] = given;
  expect(deadlineAt).toBeGreaterThanOrEqual(before + 10_000);
  expect(deadlineAt).toBeLessThanOrEqual(Date.now() + 10_000);
  expect(again).toBe(ports);
});

test('every log line of a run has the id of its invocation', async () => {
  const handler = handlerOf(async () => {
    log.info('inside', {});
    return { settled: 0 };
  });
  await handler({}, { ...context, awsRequestId: 'request-2' });
  expect(logIn(lines)).toMatchObject([{ awsRequestId: 'request-2' }, { awsRequestId: 'request-2' }]);
});

test.each<[string, unknown, object, object]>([
  ['for now', new OnboardingError('busy', 'Later.'), { code: 'busy', message: 'Later.' }, { Pending: [1] }],
  ['for a bug', new TypeError('a bug'), { code: 'internal', message: 'a bug' }, { Failed: [1] }],
])(
  'a run that fails %s fails its invocation without the error itself',
  async (_why, thrown, error, counted) => {
    const failing = handlerOf(() => Promise.reject(thrown));
    const reason: unknown = await failing({}, context).catch((caught: unknown) => caught);
    expect(reason).toEqual(new Error('The run failed; its log line tells why.'));
    expect(logIn(lines)).toMatchObject([{ ...line, level: 'ERROR', error }]);
    expect(Number(logIn(lines)[0]?.['durationMs'])).toBeLessThan(5_000);
    expect(metricsIn(lines)).toEqual(counted);
  },
);
