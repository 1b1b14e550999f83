import { lazily, type LambdaContext } from './container.ts';
import { errorFields, log } from './log.ts';

/** A Lambda handler for a schedule: one log line per run. A failed run is told to Lambda, and the next one comes anyway. */
export function scheduleHandler<Tools>(job: {
  open: (environment: NodeJS.ProcessEnv) => Tools;
  run: (deadlineAt: number, tools: Tools) => Promise<Record<string, unknown>>;
}) {
  const tools = lazily(job.open);

  return async (_event: unknown, context: LambdaContext): Promise<void> => {
    const startedAt = Date.now();
    const deadlineAt = startedAt + context.getRemainingTimeInMillis();
    const { awsRequestId } = context;
    let failed = false;
    try {
      const facts = await job.run(deadlineAt, tools());
      log.info('run', { awsRequestId, ...facts, durationMs: Date.now() - startedAt });
    } catch (error) {
      log.error('run', { awsRequestId, error: errorFields(error), durationMs: Date.now() - startedAt });
      failed = true;
    }
    // Not the error itself: Lambda logs all properties of what is thrown.
    if (failed) throw new Error('The run failed; its log line tells why.');
  };
}
