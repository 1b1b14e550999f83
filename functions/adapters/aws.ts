import { cutToBytes } from '../model/bounded-text.ts';
import { OnboardingError } from '../model/errors.ts';
import { createAwsHttp } from './aws-http.ts';

/**
 * Options of every AWS client. The SDK has no limits of its own, and an invocation that hangs in a call is a claim that
 * hangs. Regional calls respond in milliseconds; a failed attempt is repeated twice. `cacheMiddleware`: the steps of a
 * command are put together once, not for each call. All clients share `requestHandler`.
 */
export const clientOptions = {
  maxAttempts: 3,
  cacheMiddleware: true,
  requestHandler: createAwsHttp({ connectMs: 1_000, responseMs: 1_500 }),
};

/**
 * Runs an AWS call. Every error becomes `aws-unavailable`, with its name and message alone: the SDK's error
 * objects carry stored items and more.
 * @param what the call and its purpose, for the log
 */
export async function callAws<T>(what: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call();
  } catch (error) {
    throw new OnboardingError('aws-unavailable', `${what} failed; whether it took effect is not known.`, {
      cause: error instanceof Error ? { name: error.name, message: messageOf(error) } : undefined,
    });
  }
}

/** Errors of the SDK itself, whose messages quote nothing. */
const toldNames = new Set(['TimeoutError', 'AbortError', 'CredentialsProviderError']);

/**
 * What AWS says names who may not do what, and what the network or the SDK's connection says names what failed. Any
 * other error comes from code that reads or writes messages: it quotes unreadable input, which may be a secret. A
 * validator of AWS quotes, too.
 */
function messageOf(error: Error): string {
  const isOfAws = '$fault' in error;
  const isOfNetwork = 'code' in error && typeof error.code === 'string' && !(error instanceof TypeError);
  if (!isOfAws && !isOfNetwork && !toldNames.has(error.name)) return 'the answer cannot be read';
  return cutToBytes(error.message.replace(/Value '.*' at/s, "Value '…' at"), 500);
}
