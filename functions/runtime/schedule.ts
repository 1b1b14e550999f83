import { lazily, type LambdaContext } from './execution-environment.ts';
import { errorFields, log, logRequestId } from './log.ts';
import { measureOutcome, publishMetrics } from './metrics.ts';

/**
 * A Lambda handler for a schedule: one log line per run, and the same facts as the invocation's result. A failed run
 * fails its invocation, and the next one comes anyway.
 */
export function scheduleHandler<Ports, Facts extends Record<string, unknown>>(job: {
  open: (environment: NodeJS.ProcessEnv) => Ports;
  run: (deadlineAt: number, ports: Ports) => Promise<Facts>;
  /** Of a run that has not failed. */
  measure: (facts: Facts) => void;
}) {
  const ports = lazily(job.open);

  return async (_event: unknown, context: LambdaContext): Promise<Facts> => {
    const startedAt = Date.now();
    const deadlineAt = startedAt + context.getRemainingTimeInMillis();
    const { awsRequestId } = context;
    logRequestId(context);
    let result: Facts | undefined;
    try {
      const facts = await job.run(deadlineAt, ports());
      log.info('run', { awsRequestId, outcome: 'done', ...facts, durationMs: Date.now() - startedAt });
      job.measure(facts);
      measureOutcome({});
      result = facts;
    } catch (error) {
      measureOutcome({ error });
      log.error('run', { awsRequestId, error: errorFields(error), durationMs: Date.now() - startedAt });
    }
    publishMetrics();
    // Not the error itself: Lambda logs all properties of a thrown object.
    if (!result) throw new Error('The run failed; its log line tells why.');
    return result;
  };
}
