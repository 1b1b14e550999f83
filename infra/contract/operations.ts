import type { ErrorCode } from '../../functions/model/errors.ts';
import { triggers, type FunctionName } from '../../functions/triggers.ts';

/** Schemas that are defined once and referred to. */
export type SchemaName =
  | 'InstanceRequest'
  | 'InstanceUpdate'
  | 'ImportRequest'
  | 'Instance'
  | 'Instances'
  | 'Overview'
  | 'ElementToken'
  | 'CheckedInstance'
  | 'Problem'
  | 'GatewayMessage';

export type HeaderName = 'location' | 'retry-after' | 'cache-control';

type HttpFunctionName = {
  [Name in FunctionName]: (typeof triggers)[Name] extends { http: string } ? Name : never;
}[FunctionName];

/** Groups of operations; generators make a module of each. */
export const operationTags = {
  instances: "Tenants' instances",
  tokens: 'Element tokens, which need a permission of their own',
  overview: "All tenants' instances, for operators",
} as const;

export type Operation = {
  readonly tag: keyof typeof operationTags;
  readonly summary: string;
  readonly description?: string;
  readonly body?: SchemaName;
  /** Parameters of the query string. */
  readonly query?: 'OverviewQuery';
  /** By status. `headers` are always present. */
  readonly responses: Readonly<
    Record<
      number,
      { readonly means: string; readonly body?: SchemaName; readonly headers?: readonly HeaderName[] }
    >
  >;
  /** Beside those of every route. */
  readonly errors: readonly ErrorCode[];
  /** Routes that may follow a success, for the same tenant and element. */
  readonly followedBy?: readonly HttpFunctionName[];
};

/** Errors of every route: `httpHandler` reads path and body, whether or not the route has a body. */
export const errorsOfEveryRoute: readonly ErrorCode[] = [
  'invalid-request',
  'body-too-large',
  'unsupported-media-type',
  'aws-unavailable',
  'internal',
];

/** Errors that may have a `retry-after` header. */
export const errorsToRetryAfter: readonly ErrorCode[] = ['busy', 'cloud-elements-busy'];

const errorsOfCloudElements = [
  'refused-by-cloud-elements',
  'cloud-elements-unreachable',
  'cloud-elements-unreadable',
  'cloud-elements-busy',
  'platform-credentials-refused',
  'platform-credentials-unusable',
  'tenant-credentials-unusable',
  'origin-changed',
  'out-of-time',
] as const satisfies ErrorCode[];

/** Facts about routes beyond zod schemas and the trigger table. A route without a row here does not compile. */
export const operations: Readonly<Record<HttpFunctionName, Operation>> = {
  'provision-instance': {
    tag: 'instances',
    summary: 'Provision an instance',
    description:
      "Makes sure that the tenant has exactly one instance of the body's element. The request may be repeated: the response is the same instance. If the credentials come from the tenant's secret, only configuration entries that the deployment allows for the element may be set, each with a value of its form. A request that sets any other entry must contain every required entry, and the tenant's secret is not used; otherwise it fails with `missing-configuration`.",
    body: 'InstanceRequest',
    responses: {
      200: { means: 'The instance exists already, with these settings', body: 'Instance' },
      201: { means: 'The instance is new and active', body: 'Instance', headers: ['location'] },
      202: {
        means: 'In progress in another request, or the outcome is not known yet: repeat the request',
        body: 'Instance',
        headers: ['location', 'retry-after'],
      },
    },
    errors: [
      ...errorsOfCloudElements,
      'missing-configuration',
      'settings-conflict',
      'busy-with-other-settings',
      'being-deleted',
      'not-saved',
      'instance-unusable',
    ],
    followedBy: [
      'get-instance',
      'list-instances',
      'read-token',
      'change-instance',
      'check-instance',
      'remove-instance',
    ],
  },
  'list-instances': {
    tag: 'instances',
    summary: "List a tenant's instances",
    responses: { 200: { means: 'All instances of the tenant', body: 'Instances' } },
    errors: [],
  },
  'list-all-instances': {
    tag: 'overview',
    summary: "List all tenants' instances",
    description:
      'Requires a separate permission. A page reads `limit` rows and returns those that match; follow `nextCursor` until it is absent, even if a page is empty.',
    query: 'OverviewQuery',
    responses: { 200: { means: 'A page of instances', body: 'Overview' } },
    errors: [],
  },
  'get-instance': {
    tag: 'instances',
    summary: 'Get an instance',
    responses: { 200: { means: 'The instance as it is now', body: 'Instance' } },
    errors: ['not-found'],
  },
  'read-token': {
    tag: 'tokens',
    summary: "Read an instance's element token",
    description: 'Requires a separate permission. Each read is logged with its caller.',
    responses: {
      200: {
        means: 'The token, a secret that must not be cached',
        body: 'ElementToken',
        headers: ['cache-control'],
      },
    },
    errors: ['not-found', 'not-active', 'gone-at-cloud-elements'],
  },
  'change-instance': {
    tag: 'instances',
    summary: 'Change an instance',
    description:
      "Omitted fields keep their values, and so do id and token; `id` and `element` may be sent along if they are those of the instance. An empty `configuration` sends the tenant's secret again, if the instance got its credentials from it; otherwise the request fails with `configuration-from-request` or `configuration-unknown`. Entries that the deployment allows for the element may always be set, each with a value of its form. Other entries may be set only if a request has configured the instance, and then together with every entry that requests have set and every required one; otherwise the request fails with `missing-configuration`, or with `invalid-request` if the credentials come from the tenant's secret.",
    body: 'InstanceUpdate',
    responses: { 200: { means: 'The instance after the change', body: 'Instance' } },
    errors: [
      ...errorsOfCloudElements,
      'not-found',
      'not-active',
      'busy',
      'missing-configuration',
      'configuration-from-request',
      'configuration-unknown',
      'markers-not-shown',
      'not-ours',
      'gone-at-cloud-elements',
      'update-outcome-unknown',
    ],
    followedBy: ['get-instance', 'read-token', 'remove-instance'],
  },
  'remove-instance': {
    tag: 'instances',
    summary: 'Remove an instance',
    description:
      'Deletes the instance at Cloud Elements, then here. Its token cannot be read from the first request on. The request may be repeated.',
    responses: {
      202: { means: 'Accepted; deletion completes in the background', headers: ['location', 'retry-after'] },
      204: { means: 'The instance is gone, or has never existed' },
    },
    errors: ['busy', 'origin-changed'],
    followedBy: ['get-instance', 'read-token', 'provision-instance'],
  },
  'import-instance': {
    tag: 'instances',
    summary: 'Import an instance that exists at Cloud Elements',
    description:
      "Requires a separate permission. Takes over the instance with this id: nothing is created, and its id, its token and its tags stay; the tags of this service are added. The request may be repeated. The instance is deleted at Cloud Elements only by `DELETE` or offboarding, once it is active. The tenant's secret is not sent to it until an operator vouches for its configuration.",
    body: 'ImportRequest',
    responses: {
      200: { means: 'The tenant has this instance already', body: 'Instance' },
      201: { means: 'The instance is imported and active', body: 'Instance', headers: ['location'] },
      202: {
        means: 'In progress in another request, or not finished yet: repeat the request',
        body: 'Instance',
        headers: ['location', 'retry-after'],
      },
    },
    errors: [
      'refused-by-cloud-elements',
      'cloud-elements-unreachable',
      'cloud-elements-unreadable',
      'cloud-elements-busy',
      'platform-credentials-refused',
      'platform-credentials-unusable',
      'origin-changed',
      'out-of-time',
      'not-at-cloud-elements',
      'other-element',
      'not-ours',
      'instance-taken',
      'not-importable',
      'not-fully-shown',
      'settings-conflict',
      'busy-with-other-settings',
      'being-deleted',
      'not-saved',
    ],
    followedBy: ['get-instance', 'read-token', 'change-instance', 'check-instance', 'remove-instance'],
  },
  'check-instance': {
    tag: 'instances',
    summary: 'Check whether an instance works',
    description:
      'Requires a separate permission. Reads the instance at Cloud Elements and pings the element with its token. `check` is the result of this check; `health` is what the checks so far add up to: two failed checks in a row make an instance unhealthy, one that succeeds makes it healthy, and a check that concludes nothing changes nothing.',
    responses: { 200: { means: 'The instance after the check', body: 'CheckedInstance' } },
    errors: ['not-found', 'not-active', 'busy', 'origin-changed'],
    followedBy: ['get-instance'],
  },
};

const isOfHttp = (name: string): name is HttpFunctionName => Object.hasOwn(operations, name);

/** The operations with their routes, in the order of the trigger table. */
export const routes = Object.keys(triggers)
  .filter(isOfHttp)
  .map((name) => ({ name, http: triggers[name].http, operation: operations[name] }));
