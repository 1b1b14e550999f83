/**
 * The one table of functions: each row is the file of that name beside this one, its trigger and its permissions. The
 * CDK stack and the local stack both loop over it; a function gets exactly the permissions and the environment that its
 * row lists. Plain data: imports nothing.
 */
export const triggers = {
  'provision-instance': {
    http: 'POST /tenants/{tenantId}/instances',
    uses: {
      table: ['GetItem', 'PutItem', 'DeleteItem'],
      secrets: ['platform', 'tenants'],
      tokenKey: ['Encrypt'],
      cloudElements: true,
      elements: true,
    },
  },
  'list-instances': {
    http: 'GET /tenants/{tenantId}/instances',
    uses: { table: ['Query'] },
  },
  'list-all-instances': {
    http: 'GET /instances',
    uses: { table: ['Scan'] },
  },
  'get-instance': {
    http: 'GET /tenants/{tenantId}/instances/{elementKey}',
    uses: { table: ['GetItem'] },
  },
  'read-token': {
    http: 'GET /tenants/{tenantId}/instances/{elementKey}/token',
    uses: { table: ['GetItem'], tokenKey: ['Decrypt'] },
  },
  'change-instance': {
    http: 'PATCH /tenants/{tenantId}/instances/{elementKey}',
    uses: {
      table: ['GetItem', 'PutItem'],
      secrets: ['platform', 'tenants'],
      cloudElements: true,
      elements: true,
    },
  },
  'remove-instance': {
    http: 'DELETE /tenants/{tenantId}/instances/{elementKey}',
    uses: { table: ['GetItem', 'PutItem'], secrets: ['platform'], cloudElements: true },
  },
  'import-instance': {
    http: 'POST /tenants/{tenantId}/instances/{elementKey}/import',
    uses: {
      table: ['GetItem', 'PutItem', 'DeleteItem'],
      instancesIndex: ['Query'],
      secrets: ['platform'],
      tokenKey: ['Encrypt'],
      cloudElements: true,
    },
  },
  'check-instance': {
    http: 'POST /tenants/{tenantId}/instances/{elementKey}/check',
    // Without the key: the token to ping with is the one that Cloud Elements shows.
    uses: {
      table: ['GetItem', 'PutItem'],
      index: ['Query'],
      secrets: ['platform'],
      cloudElements: true,
      elements: true,
    },
  },
  'onboard-tenants': {
    queue: {
      /** Events on the bus that reach the queue; one matches when every field given holds one of the values. */
      events: [
        { 'detail-type': ['TenantOnboarded'] },
        { source: ['controlPlaneEventSource'], 'detail-type': ['onboardingRequest'] },
        { source: ['sbt.control.plane'], 'detail-type': ['sbt_aws_onboardingRequest'] },
      ],
      /** Messages of one invocation, all worked at once. */
      batchSize: 10,
      /** Invocations at once: batchSize times this bounds the creates under way at Cloud Elements. */
      maxConcurrency: 5,
    },
    uses: {
      table: ['GetItem', 'PutItem', 'DeleteItem'],
      secrets: ['platform', 'tenants'],
      tokenKey: ['Encrypt'],
      cloudElements: true,
      elements: true,
    },
  },
  'offboard-tenants': {
    queue: {
      events: [
        { 'detail-type': ['TenantOffboarded'] },
        { source: ['controlPlaneEventSource'], 'detail-type': ['offboardingRequest'] },
        { source: ['sbt.control.plane'], 'detail-type': ['sbt_aws_offboardingRequest'] },
      ],
      batchSize: 10,
      maxConcurrency: 5,
    },
    uses: { table: ['GetItem', 'PutItem', 'Query'], secrets: ['platform'], cloudElements: true },
  },
  'apply-secrets': {
    queue: {
      events: [],
      /**
       * Secrets Manager's events on the account's default bus; the rule adds the prefix of the stage's tenant secrets.
       */
      secretEvents: {
        source: ['aws.secretsmanager'],
        'detail-type': ['Secret Label Updated'],
        labelUpdated: ['AWSCURRENT'],
      },
      batchSize: 10,
      maxConcurrency: 5,
    },
    uses: {
      table: ['GetItem', 'PutItem'],
      secrets: ['platform', 'tenants'],
      tokenKey: ['Encrypt'],
      cloudElements: true,
      elements: true,
    },
  },
  'reconcile-instances': {
    schedule: { everyMinutes: 1 },
    uses: {
      // Deletes only the row of an import that cannot be finished, and the reservation of its instance.
      table: ['GetItem', 'PutItem', 'UpdateItem', 'DeleteItem', 'Query'],
      index: ['Query'],
      instancesIndex: ['Query'],
      secrets: ['platform'],
      tokenKey: ['Encrypt'],
      cloudElements: true,
    },
  },
  'check-instances': {
    schedule: { everyMinutes: 1 },
    uses: {
      table: ['GetItem', 'PutItem', 'UpdateItem'],
      index: ['Query'],
      secrets: ['platform'],
      cloudElements: true,
      elements: true,
    },
  },
  'audit-instances': {
    // No caller waits for it: it may take as long as Lambda lets a function run.
    schedule: { everyMinutes: 24 * 60, timeoutMinutes: 15 },
    uses: {
      table: ['GetItem', 'PutItem', 'Scan'],
      secrets: ['platform'],
      tokenKey: ['Encrypt'],
      cloudElements: true,
    },
  },
  'publish-results': {
    stream: {
      /** Writes to the table that matter; one does when every attribute given has one of the values after it. */
      after: { status: ['active', 'failed', 'removed'] },
      batchSize: 10,
      /**
       * How often, and until what age, a record that fails comes again, while those after it wait: some minutes, which
       * an outage of EventBridge may last, and no more, should it be the record's own fault.
       */
      retries: 100,
      maxAgeHours: 12,
    },
    uses: { bus: ['PutEvents'] },
  },
} as const satisfies Record<string, Trigger>;

export type FunctionName = keyof typeof triggers;

/** A `source` is the SaaS Builder Toolkit's default; a deployment may set another. */
export type EventPattern = { readonly source?: readonly string[]; readonly 'detail-type': readonly string[] };

export type QueueTrigger = {
  readonly events: readonly EventPattern[];
  /** Events on the account's default bus about the secrets of the stage's tenants. */
  readonly secretEvents?: Required<EventPattern> & { readonly labelUpdated: readonly string[] };
  readonly batchSize: number;
  readonly maxConcurrency: number;
};

export type StreamTrigger = {
  readonly after: Readonly<Record<string, readonly string[]>>;
  readonly batchSize: number;
  readonly retries: number;
  readonly maxAgeHours: number;
};

/** Permissions of a function: actions of DynamoDB, KMS and EventBridge without their service prefix. */
export type Uses = {
  readonly table?: readonly ('GetItem' | 'PutItem' | 'UpdateItem' | 'DeleteItem' | 'Query' | 'Scan')[];
  /** The table's index of the rows that are not settled. */
  readonly index?: readonly 'Query'[];
  /** The table's index of the rows by the instance that they record. */
  readonly instancesIndex?: readonly 'Query'[];
  readonly bus?: readonly 'PutEvents'[];
  readonly secrets?: readonly ('platform' | 'tenants')[];
  readonly tokenKey?: readonly ('Encrypt' | 'Decrypt')[];
  readonly cloudElements?: boolean;
  /** The deployer's elements, beside those that come with the service. */
  readonly elements?: boolean;
};

/**
 * At regular times, whether or not the run before has ended. `timeoutMinutes`: of a run that leases no row, and so may
 * last longer than a request.
 */
export type ScheduleTrigger = { readonly everyMinutes: number; readonly timeoutMinutes?: number };

type TriggerKinds = {
  readonly http: `${'GET' | 'POST' | 'PATCH' | 'DELETE'} /${string}`;
  readonly queue: QueueTrigger;
  readonly schedule: ScheduleTrigger;
  readonly stream: StreamTrigger;
};

/** A row has one trigger, of one kind. */
export type Trigger = {
  [Kind in keyof TriggerKinds]: { readonly uses: Uses } & Pick<TriggerKinds, Kind> & {
      readonly [Other in Exclude<keyof TriggerKinds, Kind>]?: never;
    };
}[keyof TriggerKinds];
