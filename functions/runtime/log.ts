import type { CloudElementsCall } from '../adapters/cloud-elements-http.ts';
import { cutToBytes, maxNamed } from '../model/bounded-text.ts';
import { OnboardingError } from '../model/errors.ts';
import type { LambdaContext } from './execution-environment.ts';

let awsRequestId: string | undefined;

/**
 * JSON lines. Only ids and outcomes are ever passed to it: no event, header, body, configuration, secret or token.
 * Not by a library: of a cold start's time, this and the metrics were an eighth.
 */
export const log = { info: writer('INFO'), warn: writer('WARN'), error: writer('ERROR') };

function writer(level: string) {
  return (message: string, fields: object): void => {
    const timestamp = new Date().toISOString();
    write(textOf({ level, message, timestamp, service: 'element-onboarding', awsRequestId, ...fields }));
  };
}

/** The longest line. A message may be 16 times as long, and is delivered ten times. */
const maxLineBytes = 16 * 1_024;
const maxTextBytes = 200;

/** Writes the line as JSON. If it is too long, cuts texts and lists; if it still is, leaves out objects and lists. */
function textOf(line: object): string {
  const whole = JSON.stringify(line);
  if (isShort(whole)) return whole;
  const cut = JSON.stringify({ ...line, isCut: true }, cutter);
  if (isShort(cut)) return cut;
  return JSON.stringify({ ...line, isCut: true }, (name, value: unknown) =>
    name !== '' && typeof value === 'object' ? undefined : cutter(name, value),
  );
}

const isShort = (text: string): boolean => Buffer.byteLength(text) < maxLineBytes;

function cutter(_name: string, value: unknown): unknown {
  if (typeof value === 'string') return cutToBytes(value, maxTextBytes);
  return Array.isArray(value) ? value.slice(0, maxNamed) : value;
}

/** Writes metrics, whose number bounds the line's length. */
export const writeLine = (line: object): void => write(JSON.stringify(line));

/** Past `console`, to which Lambda adds words of its own. */
function write(line: string): void {
  process.stdout.write(`${line}\n`);
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
  if (error instanceof Error) {
    return {
      code: 'internal',
      message: messageOf(error),
      stack: error.stack?.match(/^ {4}at .*$/gm)?.join('\n'),
    };
  }
  return { code: 'internal', message: 'something that is no error was thrown' };
}

/** A parser's message quotes its input. */
const messageOf = (error: Error): string =>
  error instanceof SyntaxError ? 'something that was read cannot be parsed' : error.message;

/** One line per call of Cloud Elements, with its `requestId`. */
export function logCall({ about, ...call }: CloudElementsCall): void {
  log[call.outcome === 'answered' ? 'info' : 'warn']('cloud-elements', { ...about, ...call });
}
