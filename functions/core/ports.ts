import type { OnboardingError } from '../model/errors.ts';
import type { Finding } from '../model/health.ts';
import type { Catalog } from '../model/catalog.ts';
import type { TenantSecret } from '../model/configuration.ts';
import type { LastAudit } from '../model/last-audit.ts';
import type { Owned, Ownership } from '../model/markers.ts';
import type { Listed } from '../model/overview.ts';
import type { Timing } from '../model/timing.ts';
import type {
  Configuration,
  InstanceKey,
  InstanceOptions,
  InstanceRow,
  InstanceSummary,
} from '../model/instance.ts';
import type { InstanceId } from '../model/instance-id.ts';

/**
 * What the use cases need of the outside world; `adapters/` has the real ones. Written out here because imports go
 * towards the core, and because the core is tested with fakes that fail in every order.
 */

/**
 * A conditional write. Refused means that nothing was changed; `current` is the row that caused it, if any. If that row
 * carries this write's own fencing token, the write is reported as won: the SDK had sent it twice because the first
 * response was lost.
 */
export type Write = { won: true; current?: never } | { won: false; current: InstanceRow | undefined };

/** An entry of the index. `checkAt`: ms since the epoch; `shown`: the same, exactly as the index stores it. */
export type DueInstance = InstanceKey & { checkAt: number; shown: string };

/** The longest due first. `first`: a tenant waits, and the reconciler has not looked yet; `later`: all others. */
export type DueInstances = { first: DueInstance[]; later: DueInstance[] };

/** A row of the table; without `row` where this version cannot read it. */
export type Stored = InstanceKey & { row: InstanceRow | undefined };

/**
 * Every method throws `aws-unavailable` when the outcome of the call is not known, and `internal` for a row that this
 * version cannot read. Reads are strongly consistent. Summaries leave tombstones out: for their readers a removed
 * instance does not exist.
 */
export type InstanceStore = {
  /**
   * Writes a row with a new fencing token. `asRead`: the row that it replaces, which must be exactly as it was
   * read: not claimed, changed or released since. Without it there must be no row.
   */
  claim(next: InstanceRow, asRead?: InstanceRow): Promise<Write>;
  /** Writes the next state of a row whose claim, the fencing token of `held`, is still held. */
  write(next: InstanceRow, held: InstanceRow): Promise<Write>;
  /** Deletes a row that this claim has created. */
  remove(held: InstanceRow): Promise<Write>;
  get(key: InstanceKey): Promise<InstanceRow | undefined>;
  getSummary(key: InstanceKey): Promise<InstanceSummary | undefined>;
  /** In order of the element keys. `unreadable`: of rows that this version cannot read. */
  list(tenantId: string): Promise<{ instances: InstanceSummary[]; unreadable: InstanceKey[] }>;
  /** Rows whose `checkAt` has come, at most `limit` of either kind. Eventually consistent. */
  due(nowMs: number, limit: number): Promise<DueInstances>;
  /** Moves a row that cannot be read to a later time, unless it was written since the index showed it. */
  postpone(due: DueInstance, checkAt: number): Promise<void>;
  /** Every row, page by page, in no order. */
  all(): AsyncIterable<Stored>;
};

/** The generation of a row that imports an instance. */
export type IdHolder = InstanceKey & { provisionId: string };

/** Which row an existing instance belongs to. Every method throws `aws-unavailable`. */
export type ImportedIds = {
  /**
   * Reserves the instance for one generation of a row; a repeat changes nothing. `instead`: the holder to replace,
   * which is gone. Refused: `by` holds it, or it was given back just now.
   */
  hold(
    instanceId: number,
    holder: IdHolder,
    instead?: IdHolder,
  ): Promise<{ held: true } | { held: false; by: IdHolder | undefined }>;
  /** Gives it back, unless another generation holds it. */
  giveBack(instanceId: number, holder: IdHolder): Promise<void>;
  /** Keys of the rows that record it, in any status. Eventually consistent. */
  recordedBy(instanceId: number): Promise<InstanceKey[]>;
};

/** The active rows with nothing left to settle, in the order in which their health is checked. */
export type CheckStore = {
  /**
   * At most `limit` of those that are due until then, the longest or the most recently due first. Eventually
   * consistent.
   */
  dueChecks(query: { until: number; limit: number; first: 'longest' | 'latest' }): Promise<DueInstance[]>;
};

/** Instances of all tenants, a page at a time. Eventually consistent; throws `aws-unavailable`. */
export type OverviewStore = {
  /**
   * Summaries of at most `limit` rows after that key, in no order. Leaves out tombstones and items that are no
   * instances, so it may show fewer, or none; `last` is absent when there are no more.
   */
  page(options: {
    limit: number;
    after: InstanceKey | undefined;
  }): Promise<{ rows: Listed[]; last: InstanceKey | undefined }>;
};

/** Where the last audit stopped. `after`: the last row whose instance it has read by its id. */
export type AuditProgress = { version: number; after: InstanceKey };

export type AuditProgressStore = {
  get(): Promise<AuditProgress | undefined>;
  /** Writes the version after the one that was read, or nothing, when another audit has done so. */
  put(after: InstanceKey, read: AuditProgress | undefined): Promise<void>;
  /** Keeps the result, or nothing, when an audit that started later has ended. */
  finish(audit: LastAudit): Promise<void>;
};

/** An instance as Cloud Elements returns it. `createdDate`: ISO 8601 with second precision, when given. */
export type ElementInstance = { id: number; token: string; createdDate?: string | undefined };

/**
 * An instance that belongs to the row but cannot be kept, because its id or token cannot be stored or sent. `reason`
 * completes "an instance …". `id`: absent if it must not be used or logged.
 */
export type UnusableInstance = { id: InstanceId | undefined; reason: string };

/** As lists show it, which may leave out the tags or the token. */
export type ListedInstance = {
  id: InstanceId;
  elementKey: string;
  name?: string | undefined;
  tags: readonly string[];
  token: string | undefined;
  createdDate?: string | undefined;
  valid: boolean;
  disabled: boolean;
};

/** A request that may have taken effect, or may still take effect. */
export type UnknownOutcome = {
  kind: 'unknown';
  reason: string;
  requestId?: string | undefined;
  said?: string | undefined;
};

/** Every outcome but success of a request that changes something. */
export type Failure =
  | UnknownOutcome
  /** It had no effect, and a repeat would have none. */
  | { kind: 'refused'; error: OnboardingError }
  /** It had no effect. With `retryAfterMs` the same request may be sent again after that time. */
  | { kind: 'not-done'; error: OnboardingError; retryAfterMs?: number };

export type CreateOutcome =
  | { kind: 'created'; instance: ElementInstance }
  | { kind: 'unusable'; instance: UnusableInstance }
  | Failure;

/** `absent`: there is no such instance any more. */
export type UpdateOutcome = { kind: 'updated' } | { kind: 'absent' } | Failure;

/** `removed`: also when it was gone already. `refused`: Cloud Elements keeps it, for example because it is in use. */
export type RemoveOutcome = { kind: 'removed' } | Failure;

/**
 * An instance by its id. `token` and `tags`: absent in some views. `fault`: why its token, name or tags cannot be kept;
 * completes "an instance …".
 */
export type ReadOutcome =
  | {
      kind: 'read';
      owned: Ownership;
      instanceId: number;
      elementKey: string;
      token: string | undefined;
      createdDate: string | undefined;
      valid: boolean;
      disabled: boolean;
      name?: string | undefined;
      tags?: readonly string[] | undefined;
      fault?: string | undefined;
    }
  /** Cloud Elements itself says that there is no such instance. */
  | { kind: 'absent' }
  /** `error`: absent if a plain retry may succeed. With `retryAfterMs` in it the call may be repeated then. */
  | { kind: 'unknown'; reason: string; error?: OnboardingError };

/** The subject of a look-up: the instances of one generation of a row. */
export type Sought = Owned & {
  provisionId: string;
  /** Recorded in the row: read by its id when the list does not show it. */
  instanceId?: number | undefined;
  /** Known already: ignored by the search. */
  exceptId?: number | undefined;
  /** The name that the create sent. */
  name: string;
  /** ms since the epoch: no instance of the row is older. */
  createdAt: number;
};

/**
 * `isCertain`: the result is complete. Not so if the list showed instances that its filter should exclude: then an
 * empty result rests on two equal walks through the whole list, and the row stays in doubt.
 */
export type LookUp =
  | { kind: 'found'; instances: ElementInstance[]; unusable?: UnusableInstance[]; isCertain: boolean }
  | { kind: 'unknown'; reason: string };

/** No call outlasts its `timeoutMs`, and none throws for what Cloud Elements or the network does. */
export type CloudElements = {
  create(
    instance: {
      tenantId: string;
      elementKey: string;
      name: string;
      tags: string[];
      configuration: Configuration;
      /** Further fields of Cloud Elements' `instance.json`. */
      options?: InstanceOptions | undefined;
    },
    options: { timeoutMs: number },
  ): Promise<CreateOutcome>;
  /** Sets the given fields and nothing else; idempotent. */
  update(
    instance: InstanceKey & { instanceId: number },
    changes: { name?: string; tags?: string[]; configuration?: Configuration } & InstanceOptions,
    options: { timeoutMs: number },
  ): Promise<UpdateOutcome>;
  read(instance: Owned & { instanceId: number }, options: { timeoutMs: number }): Promise<ReadOutcome>;
  /** Finds only instances whose tags name tenant, owner and generation, and of that element. */
  lookUp(sought: Sought, options: { timeoutMs: number }): Promise<LookUp>;
  /**
   * One page of all instances of a stage, of every element, and perhaps of other stages: the filter is unreliable.
   * Without an owner, of all instances. `walk`: returned with the previous page. A page that is too large for Cloud
   * Elements is requested again with fewer items; after the first page the walk starts over with the `walk` that comes
   * with `refused`.
   */
  list(
    query: { owner: string | undefined; page: string | undefined; walk?: ListWalk | undefined },
    options: { timeoutMs: number },
  ): Promise<
    /** `unreadable`: items of the page that are in no known form. */
    | {
        kind: 'listed';
        instances: ListedInstance[];
        unreadable?: number;
        nextPage: string | undefined;
        walk?: ListWalk;
      }
    /** Cloud Elements does not accept this page's token, or no longer does. */
    | { kind: 'refused'; walk?: ListWalk }
    | { kind: 'unknown'; reason: string }
  >;
  remove(
    instance: InstanceKey & { instanceId: InstanceId },
    options: { timeoutMs: number },
  ): Promise<RemoveOutcome>;
};

/**
 * Calls the element with the instance's own token, which makes Cloud Elements call the vendor behind it. Never throws.
 */
export type Ping = (
  instance: InstanceKey & { instanceId: number; token: string },
  options: { timeoutMs: number },
) => Promise<Finding>;

/**
 * How far a list has been read: which pages were full, and how many items are left, distinguish its end from a lost
 * page.
 */
export type ListWalk = {
  /** Items on all pages so far. */
  seen: number;
  /** Items of the whole list, if Cloud Elements says so. */
  total: number | undefined;
  isFull: boolean;
  /** Absent: Cloud Elements' default, which is 200. */
  pageSize?: number | undefined;
};

/** The ciphertext can only be decrypted for the same tenant and element. */
export type TokenCipher = {
  encrypt(token: string, key: InstanceKey): Promise<Uint8Array>;
  decrypt(ciphertext: Uint8Array, key: InstanceKey): Promise<string>;
};

export type ReadTenantSecret = (key: InstanceKey) => Promise<TenantSecret>;

/** Facts for the operator that no response contains. Logged with tenant, element and provision id. */
export type Observation =
  | { kind: 'taken-over'; from: InstanceRow['status'] }
  | { kind: 'create-retried'; reason: string }
  | { kind: 'outcome-unknown'; reason: string; requestId?: string | undefined }
  | { kind: 'look-up-failed'; reason: string }
  | { kind: 'adopted'; instanceId: number }
  | { kind: 'imported'; instanceId: number }
  /** An import that could not be finished: the row and the instance are as before. */
  | { kind: 'import-given-back'; instanceId: number; reason: string }
  /** Its removal was requested. */
  | { kind: 'instance-removed'; instanceId: InstanceId }
  | { kind: 'instance-left'; instanceId: InstanceId; reason: string }
  /** The row records it, but it shows that it belongs to another tenant, stage or element. */
  | { kind: 'not-ours'; instanceId: number }
  /** A duplicate, or a late instance. */
  | { kind: 'duplicate-removed'; instanceId: InstanceId }
  | { kind: 'duplicate-left'; instanceId: InstanceId; reason: string }
  | { kind: 'claim-left'; reason: string }
  /** Active here, but Cloud Elements has no such instance. */
  | { kind: 'instance-lost'; instanceId: number }
  | { kind: 'left-open'; reason: string }
  /** At Cloud Elements with this stage's tag, but no row owns it. */
  | { kind: 'orphan'; instanceId: InstanceId }
  /** Cloud Elements says that it does not work. */
  | { kind: 'instance-invalid'; instanceId: InstanceId }
  | { kind: 'instance-disabled'; instanceId: InstanceId }
  /** The table has a row that this version cannot read. */
  | { kind: 'row-unreadable' }
  | { kind: 'token-refilled' }
  /** Two checks in a row have failed. */
  | { kind: 'instance-unhealthy'; instanceId: number; reason: string }
  | { kind: 'instance-recovered'; instanceId: number }
  /** An onboarding or offboarding event that came too late or too early to be carried out. */
  | { kind: 'event-ignored'; reason: string }
  /** An onboarding event waits for the tenant's secret, or has stopped waiting. */
  | { kind: 'secret-missing'; reason: string };

export type Observe = (observation: Observation, of: InstanceKey & { provisionId: string }) => void;

/** The ports of the use cases; each picks its own. Those with defaults are replaced in tests only. */
export type Ports = {
  store: InstanceStore;
  cloudElements: CloudElements;
  cipher: TokenCipher;
  readTenantSecret: ReadTenantSecret;
  catalog: Catalog;
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
