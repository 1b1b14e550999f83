/**
 * The one table of functions: each row is the file of that name beside this one, what triggers it and what it may
 * touch. The CDK stack and the local stack both loop over it; a function gets exactly the permissions and the
 * environment that its row asks for. Plain data: imports nothing.
 */
export const triggers = {
  'provision-instance': {
    http: 'POST /tenants/{tenantId}/instances',
    uses: {
      table: ['GetItem', 'PutItem', 'DeleteItem'],
      secrets: ['platform', 'tenants'],
      tokenKey: ['Encrypt'],
      cloudElements: true,
    },
  },
  'list-instances': {
    http: 'GET /tenants/{tenantId}/instances',
    uses: { table: ['Query'] },
  },
  'get-instance': {
    http: 'GET /tenants/{tenantId}/instances/{elementKey}',
    uses: { table: ['GetItem'] },
  },
  'read-token': {
    http: 'GET /tenants/{tenantId}/instances/{elementKey}/token',
    uses: { table: ['GetItem'], tokenKey: ['Decrypt'] },
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
      table: ['GetItem', 'PutItem'],
      secrets: ['platform', 'tenants'],
      tokenKey: ['Encrypt'],
      cloudElements: true,
    },
  },
} as const satisfies Record<string, Trigger>;

export type FunctionName = keyof typeof triggers;

export type EventPattern = { readonly source?: readonly string[]; readonly 'detail-type': readonly string[] };

export type QueueTrigger = {
  readonly events: readonly EventPattern[];
  readonly batchSize: number;
  readonly maxConcurrency: number;
};

/** What a function may touch: DynamoDB and KMS actions without their service prefix. */
export type Uses = {
  readonly table: readonly ('GetItem' | 'PutItem' | 'DeleteItem' | 'Query')[];
  readonly secrets?: readonly ('platform' | 'tenants')[];
  readonly tokenKey?: readonly ('Encrypt' | 'Decrypt')[];
  readonly cloudElements?: boolean;
};

export type Trigger = { readonly uses: Uses } & (
  | { readonly http: `${'GET' | 'POST' | 'PATCH' | 'DELETE'} /${string}`; readonly queue?: never }
  | { readonly queue: QueueTrigger; readonly http?: never }
);
