import type { OnboardingError } from './errors.ts';
import type { Timing } from './timing.ts';
import type { Configuration, InstanceKey, InstanceRow, InstanceSummary } from './instance.ts';

/**
 * What the use cases need of the outside world; `adapters/` has the real ones. Written out here because imports go
 * towards the core, and because the core is tried out on an outside world that fails in every possible order.
 */

/** A conditional write: refused means that nothing was changed; `current` is the row that stood against it, if any. */
export type Write = { won: true } | { won: false; current: InstanceRow | undefined };

/** The state in which a row must still be for a write to be made. */
export type Expected = Pick<InstanceRow, 'status' | 'provisionId' | 'attemptId'> &
  Partial<Pick<InstanceRow, 'leaseExpiresAt'>>;

/** `checkAt`: since when, ms since the epoch. */
export type DueInstance = InstanceKey & { checkAt: number };

/**
 * All of them throw `aws-unavailable` when the outcome of the call is not known. Reads are strongly consistent.
 * Summaries leave tombstones out: for whoever reads them what is removed does not exist.
 */
export type InstanceStore = {
  insert(row: InstanceRow): Promise<Write>;
  replace(row: InstanceRow, expected: Expected): Promise<Write>;
  remove(key: InstanceKey, expected: Expected): Promise<Write>;
  get(key: InstanceKey): Promise<InstanceRow | undefined>;
  getSummary(key: InstanceKey): Promise<InstanceSummary | undefined>;
  /** In order of the element keys. */
  list(tenantId: string): Promise<InstanceSummary[]>;
  /** Rows whose `checkAt` has come, the longest due first. Eventually consistent. */
  due(nowMs: number, limit: number): Promise<DueInstance[]>;
  /** Every row, page by page, in no order; undefined for one that cannot be read. */
  all(): AsyncIterable<InstanceRow | undefined>;
};

/** An instance as Cloud Elements tells of it. `createdDate`: ISO 8601 with second precision, when given. */
export type ElementInstance = { id: number; token: string; createdDate?: string | undefined };

/** As lists show it; `tenantId` from our marker tag. */
export type ListedInstance = {
  id: number;
  elementKey: string;
  tenantId: string | undefined;
  token: string | undefined;
  valid: boolean;
  disabled: boolean;
};

/** What else than success a request that changes something can come to. */
export type Mishap =
  /** It may have taken effect, or may in a while. */
  | { kind: 'unknown'; reason: string; requestId?: string | undefined }
  /** Cloud Elements has decided: it had no effect, and will have none as it is. */
  | { kind: 'refused'; error: OnboardingError }
  /** It had no effect. With `retryAfterMs` the same request may be sent again after that time. */
  | { kind: 'not-done'; error: OnboardingError; retryAfterMs?: number };

export type CreateOutcome = { kind: 'created'; instance: ElementInstance } | Mishap;

/** `absent`: there is no such instance any more. */
export type ChangeOutcome = { kind: 'changed' } | { kind: 'absent' } | Mishap;

export type LookUp = { kind: 'found'; instances: ElementInstance[] } | { kind: 'unknown'; reason: string };

/** No call outlasts its `timeoutMs`, and none throws for what Cloud Elements or the network does. */
export type CloudElements = {
  create(
    instance: {
      tenantId: string;
      elementKey: string;
      name: string;
      tags: string[];
      configuration: Configuration;
    },
    options: { timeoutMs: number },
  ): Promise<CreateOutcome>;
  /** Sets what is given and nothing else; sent twice, it comes to the same. */
  change(
    instance: InstanceKey & { instanceId: number },
    changes: { name?: string; tags?: string[]; configuration?: Configuration },
    options: { timeoutMs: number },
  ): Promise<ChangeOutcome>;
  /** All instances of the element that carry exactly this tag, and the one of this id, if it still exists. */
  lookUp(
    marker: { elementKey: string; tag: string; instanceId: number | undefined },
    options: { timeoutMs: number },
  ): Promise<LookUp>;
  /** One page of all instances with the tag, of whatever element. */
  list(
    query: { tag: string; page: string | undefined },
    options: { timeoutMs: number },
  ): Promise<
    | { kind: 'listed'; instances: ListedInstance[]; nextPage: string | undefined }
    | { kind: 'unknown'; reason: string }
  >;
  /** An instance that is already gone counts as removed. */
  remove(
    instanceId: number,
    options: { timeoutMs: number },
  ): Promise<{ removed: true } | { removed: false; reason: string }>;
};

/** The ciphertext opens only for the same tenant and element. */
export type TokenCipher = {
  encrypt(token: string, key: InstanceKey): Promise<Uint8Array>;
  decrypt(ciphertext: Uint8Array, key: InstanceKey): Promise<string>;
};

/** A tenant's stored credentials; `configuration` is undefined when there is no such secret. */
export type ReadTenantSecret = (
  key: InstanceKey,
) => Promise<{ name: string; configuration: Configuration | undefined }>;

/** What an operator wants to know of and no answer tells. Logged with tenant, element and provision id. */
export type Observation =
  | { kind: 'taken-over'; from: InstanceRow['status'] }
  | { kind: 'create-retried'; reason: string }
  | { kind: 'outcome-unknown'; reason: string; requestId?: string | undefined }
  | { kind: 'look-up-failed'; reason: string }
  | { kind: 'adopted'; instanceId: number }
  /** It was wanted once, and no more. */
  | { kind: 'instance-removed'; instanceId: number }
  | { kind: 'instance-left'; instanceId: number; reason: string }
  /** It should never have been: a double, or one that came after all. */
  | { kind: 'surplus-removed'; instanceId: number }
  | { kind: 'surplus-left'; instanceId: number; reason: string }
  | { kind: 'claim-left'; reason: string }
  /** Active here, but not to be found at Cloud Elements. */
  | { kind: 'instance-lost'; instanceId: number }
  | { kind: 'left-open'; reason: string }
  /** At Cloud Elements, of this stage, and nobody's here. */
  | { kind: 'orphan'; instanceId: number }
  | { kind: 'token-refilled' }
  /** An onboarding or off-boarding event that came too late or too early to be carried out. */
  | { kind: 'event-ignored'; reason: string };

export type Observe = (observation: Observation, of: InstanceKey & { provisionId: string }) => void;

/** What use cases are made of; each picks what it needs. Those with defaults are there for tests. */
export type Parts = {
  store: InstanceStore;
  cloudElements: CloudElements;
  cipher: TokenCipher;
  readTenantSecret: ReadTenantSecret;
  /** Base URL of Cloud Elements. */
  origin: string;
  /** Goes into the tag `owner:<stage>`. */
  stage: string;
  observe: Observe;
  timing?: Timing;
  now?: () => number;
  sleep?: (delayMs: number) => Promise<unknown>;
  newId?: () => string;
};
