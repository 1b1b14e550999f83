/**
 * Runs in a process of its own, started by `execution-environments.ts`, as Lambda's Node runtime does in its sandbox: imports one
 * bundle and answers invocations with its `handler`. JavaScript, because the part of Node that strips types takes 50 ms
 * of processor time to load, as much as everything else before its first invocation.
 */
import { flushCompileCache } from 'node:module';
import { pathToFileURL } from 'node:url';

/**
 * @import { Handler } from 'aws-lambda'
 * @import { EnvironmentMessage, Invocation } from './execution-environments.ts'
 */

// Read by Node already; the function must not see it.
delete process.env['NODE_COMPILE_CACHE'];
const [, , bundleFile = ''] = process.argv;
/** @type {{ handler: Handler }} */
const { handler } = await import(pathToFileURL(bundleFile).href);

// Without its parent the process gets no invocations.
process.once('disconnect', () => process.exit());
// Ctrl-C reaches every process of the terminal, but the parent ends this one in order.
process.on('SIGINT', () => {});

process.on('message', (/** @type {Invocation} */ invocation) => {
  void run(invocation);
});
tell({ kind: 'ready' });
// Otherwise Node writes the compile cache only when a process exits, and this one may be killed.
flushCompileCache();

/** @param {Invocation} invocation */
async function run({ requestId, functionName, arn, event, deadlineMs }) {
  try {
    const context = {
      awsRequestId: requestId,
      functionName,
      functionVersion: '$LATEST',
      invokedFunctionArn: arn,
      memoryLimitInMB: '512',
      logGroupName: `/aws/lambda/${functionName}`,
      logStreamName: 'local',
      callbackWaitsForEmptyEventLoop: true,
      getRemainingTimeInMillis: () => deadlineMs - Date.now(),
      // No effect, like the callback: Node 24's runtime takes a response only from the handler's promise.
      done: () => {},
      fail: () => {},
      succeed: () => {},
    };
    /** @type {unknown} */
    const response = await handler(event, context, () => {});
    endLog(requestId);
    tell({ kind: 'answer', requestId, response });
  } catch (error) {
    const summary =
      error instanceof Error
        ? { errorType: error.name, errorMessage: error.message }
        : { errorType: typeof error, errorMessage: String(error) };
    logAsLambda(summary, error);
    endLog(requestId);
    tell({ kind: 'failure', requestId, ...summary });
  }
}

/**
 * Lambda's runtime logs an uncaught error of a handler with its own enumerable properties: a leak there must also show
 * here.
 * https://github.com/aws/aws-lambda-nodejs-runtime-interface-client
 * @param {object} summary
 * @param {unknown} error
 */
function logAsLambda(summary, error) {
  const properties = error instanceof Error ? Object.assign({ stack: error.stack?.split('\n') }, error) : {};
  process.stderr.write(`ERROR\tInvoke Error\t${JSON.stringify({ ...summary, ...properties })}\n`);
}

/** @param {string} requestId */
function endLog(requestId) {
  process.stdout.write(`END RequestId: ${requestId}\n`);
  process.stderr.write(`END RequestId: ${requestId}\n`);
}

/** @param {EnvironmentMessage} message */
function tell(message) {
  process.send?.(message);
}
