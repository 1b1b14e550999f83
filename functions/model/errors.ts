import type { Problem } from './responses.ts';
import { cutToBytes, maxNamed } from './bounded-text.ts';

/** All error codes. `retryable`: the same request may succeed later, without a change. */
export const errorCodes = {
  'invalid-request': { status: 400, retryable: false, title: 'The request is not valid' },
  'missing-configuration': { status: 400, retryable: false, title: 'Required configuration is missing' },
  'refused-by-cloud-elements': {
    status: 400,
    retryable: false,
    title: 'Cloud Elements refused the instance',
  },
  'not-found': { status: 404, retryable: false, title: 'The tenant has no such instance' },
  'not-at-cloud-elements': { status: 404, retryable: false, title: 'Cloud Elements has no such instance' },
  'settings-conflict': { status: 409, retryable: false, title: 'The instance exists with other settings' },
  'busy-with-other-settings': {
    status: 409,
    retryable: true,
    title: 'The instance is being provisioned with other settings',
  },
  'being-deleted': { status: 409, retryable: true, title: 'The instance is being deleted' },
  busy: { status: 409, retryable: true, title: 'Another request holds the instance' },
  'configuration-from-request': {
    status: 409,
    retryable: false,
    title: "The instance's configuration comes from a request",
  },
  'configuration-unknown': {
    status: 409,
    retryable: false,
    title: "The source of the instance's configuration is not known",
  },
  'gone-at-cloud-elements': {
    status: 409,
    retryable: false,
    title: 'Cloud Elements no longer has the instance',
  },
  'markers-not-shown': {
    status: 409,
    retryable: false,
    title: 'The instance at Cloud Elements does not show the tags of this service',
  },
  'not-ours': {
    status: 409,
    retryable: false,
    title: 'The instance at Cloud Elements belongs to another tenant, stage or element',
  },
  'other-element': { status: 409, retryable: false, title: 'The instance is of another element' },
  'instance-taken': { status: 409, retryable: false, title: 'The instance belongs to another tenant' },
  'not-importable': { status: 409, retryable: false, title: 'The instance cannot be imported' },
  'not-fully-shown': {
    status: 409,
    retryable: true,
    title: 'Cloud Elements does not show all of the instance',
  },
  'deletion-refused': {
    status: 409,
    retryable: true,
    title: 'Cloud Elements refused to delete the instance',
  },
  'not-active': { status: 409, retryable: true, title: 'The instance is not active' },
  'body-too-large': { status: 413, retryable: false, title: 'The body is too large' },
  'unsupported-media-type': { status: 415, retryable: false, title: 'The body must be JSON' },
  internal: { status: 500, retryable: true, title: 'Something went wrong in this service' },
  'cloud-elements-unreachable': { status: 502, retryable: true, title: 'Cloud Elements cannot be reached' },
  'cloud-elements-unreadable': {
    status: 502,
    retryable: true,
    title: 'The answer cannot be read as one of Cloud Elements',
  },
  'instance-unusable': {
    status: 502,
    retryable: false,
    title: 'Cloud Elements made an instance that cannot be kept',
  },
  'outcome-unknown': {
    status: 502,
    retryable: true,
    title: 'Outcome unknown: the instance may or may not exist',
  },
  'update-outcome-unknown': {
    status: 502,
    retryable: true,
    title: 'Outcome unknown: the update may or may not have taken effect',
  },
  'not-created': { status: 502, retryable: true, title: 'Cloud Elements did not create the instance' },
  'deletion-pending': { status: 503, retryable: true, title: 'The deletion is not complete yet' },
  'cloud-elements-busy': { status: 503, retryable: true, title: 'Cloud Elements is rate limiting requests' },
  'platform-credentials-refused': {
    status: 503,
    retryable: true,
    title: 'Cloud Elements refused the credentials of this service',
  },
  'platform-credentials-unusable': {
    status: 503,
    retryable: true,
    title: 'This service has no usable credentials',
  },
  'tenant-credentials-unusable': {
    status: 503,
    retryable: true,
    title: "The tenant's credentials cannot be used",
  },
  'origin-changed': { status: 503, retryable: true, title: 'Begun at another Cloud Elements origin' },
  'not-saved': { status: 503, retryable: true, title: 'The instance could not be saved yet' },
  'aws-unavailable': { status: 503, retryable: true, title: 'An AWS service is unavailable' },
  'out-of-time': { status: 504, retryable: true, title: 'Not enough time left to send the request' },
} as const satisfies Record<string, { status: number; retryable: boolean; title: string }>;

export type ErrorCode = keyof typeof errorCodes;

/** A row keeps the message, an event carries it, and a list shows one for each instance. */
const maxMessageBytes = 1_000;

export type ErrorFacts = {
  /** Faults of the input: the first 20. */
  problems?: readonly Problem[];
  /** Configuration entries to add, as `configuration.<key>`. */
  missing?: readonly string[];
  /** Cloud Elements' id of the request that it refused; its support asks for it. */
  requestId?: string | undefined;
  retryAfterMs?: number | undefined;
  /** Words of Cloud Elements that may be shown, also where the message may not. */
  said?: string | undefined;
  /** Loggable text only: never an object that holds a stored item, a secret or an answer's body. */
  cause?: { name: string; message: string } | undefined;
};

/**
 * The only error thrown on purpose. Its message says what happened, to which tenant and element, and what the reader
 * can do; a caller sees it below status 500, the log always.
 */
export class OnboardingError extends Error {
  override readonly name = 'OnboardingError';
  readonly code: ErrorCode;
  readonly facts: ErrorFacts;

  constructor(code: ErrorCode, message: string, facts: ErrorFacts = {}) {
    super(cutToBytes(message, maxMessageBytes));
    this.code = code;
    this.facts = { ...facts, ...bounded(facts) };
  }

  get status(): number {
    return errorCodes[this.code].status;
  }

  get retryable(): boolean {
    return errorCodes[this.code].retryable;
  }

  get title(): string {
    return errorCodes[this.code].title;
  }

  /** The part that callers may read: above 499 the title and the words of Cloud Elements alone. */
  get publicDetail(): string {
    if (this.status < 500) return this.message;
    const { said } = this.facts;
    return said === undefined ? this.title : `${this.title}. Cloud Elements said: ${said}`;
  }
}

/** Keeps the facts short, however long the input was. */
function bounded({ problems, missing }: ErrorFacts): ErrorFacts {
  return {
    ...(problems && { problems: problems.slice(0, maxNamed) }),
    ...(missing && { missing: missing.slice(0, maxNamed) }),
  };
}
