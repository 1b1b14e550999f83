import type { CloudElementsCall } from '../adapters/cloud-elements-http.ts';
import type { Observe } from '../core/collaborators.ts';
import { OnboardingError } from '../core/errors.ts';
import type { LambdaContext } from './container.ts';

let awsRequestId: string | undefined;

/**
 * JSON lines. Only ids and outcomes are ever passed to it: no event, header, body, configuration, secret or token.
 * Not by a library: of a cold start's time, this and the metrics were an eighth.
 */
export const log = { info: writer('INFO'), warn: writer('WARN'), error: writer('ERROR') };

function writer(level: string) {
  return (message: string, fields: object): void => {
    const timestamp = new Date().toISOString();
    writeLine({ level, message, timestamp, service: 'element-onboarding', awsRequestId, ...fields });
  };
}

/** Past `console`, to which Lambda adds words of its own. */
export function writeLine(line: object): void {
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** Puts the request's id on every line until the next one begins: Lambda gives a process one at a time. */
export function logRequestId(context: LambdaContext): void {
  awsRequestId = context.awsRequestId;
}

/**
 * The fields of an error that may be logged. Never the object itself: a logger follows all its properties, and those
 * of SDK errors hold stored items and answers.
 */
export function errorFields(error: unknown) {
  if (error instanceof OnboardingError) {
    const { code, message, facts } = error;
    return { code, message, requestId: facts.requestId, missing: facts.missing, cause: facts.cause };
  }
  if (error instanceof Error) return { code: 'internal', message: error.message, stack: error.stack };
  return { code: 'internal', message: 'something that is no error was thrown' };
}

const warnings = new Set([
  'outcome-unknown',
  'look-up-failed',
  'surplus-left',
  'instance-left',
  'not-ours',
  'claim-left',
  'instance-lost',
  'orphan',
  'event-ignored',
  'secret-missing',
]);

/** One line per call of Cloud Elements, with its `requestId`. */
export function logCall({ about, ...call }: CloudElementsCall): void {
  log[call.outcome === 'answered' ? 'info' : 'warn']('cloud-elements', { ...about, ...call });
}

export const observe: Observe = (observation, { tenantId, elementKey, provisionId }) => {
  const { kind, ...fields } = observation;
  log[warnings.has(kind) ? 'warn' : 'info'](kind, { tenantId, elementKey, provisionId, ...fields });
};
