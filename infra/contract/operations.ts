import type { ErrorCode } from '../../functions/model/errors.ts';
import { triggers, type FunctionName } from '../../functions/triggers.ts';

/** What is described once and referred to. */
export type SchemaName =
  | 'InstanceRequest'
  | 'InstanceChanges'
  | 'Instance'
  | 'Instances'
  | 'Overview'
  | 'ElementToken'
  | 'Problem'
  | 'GatewayMessage';

export type HeaderName = 'location' | 'retry-after' | 'cache-control';

type HttpFunctionName = {
  [Name in FunctionName]: (typeof triggers)[Name] extends { http: string } ? Name : never;
}[FunctionName];

export type Operation = {
  readonly summary: string;
  readonly description?: string;
  readonly body?: SchemaName;
  /** Parameters of the query string. */
  readonly query?: 'OverviewQuery';
  /** By status. `headers` are always there. */
  readonly answers: Readonly<
    Record<
      number,
      { readonly means: string; readonly body?: SchemaName; readonly headers?: readonly HeaderName[] }
    >
  >;
  /** Beside those of every route. */
  readonly errors: readonly ErrorCode[];
};

/** Of every route: `httpHandler` reads path and body, whether or not the route has a body. */
export const errorsOfEveryRoute: readonly ErrorCode[] = [
  'invalid-request',
  'body-too-large',
  'unsupported-media-type',
  'aws-unavailable',
  'internal',
];

/** Those that may come with `retry-after`. */
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

/** What zod schemas and the trigger table do not say of a route. A route without a row here does not compile. */
export const operations: Readonly<Record<HttpFunctionName, Operation>> = {
  'provision-instance': {
    summary: 'Provision an instance',
    description:
      "Makes sure that the tenant has exactly one instance of the body's element. The same request may be repeated: it is answered with the same instance. Beside credentials that come from the tenant's secret, only configuration entries that are known to be harmless may be set. A request that sets any other entry brings every required entry as well, and the tenant's secret is not used; otherwise it is `missing-configuration`.",
    body: 'InstanceRequest',
    answers: {
      200: { means: 'It exists already, with these settings', body: 'Instance' },
      201: { means: 'It is new and active', body: 'Instance', headers: ['location'] },
      202: {
        means: 'In progress elsewhere, or its outcome is not known yet: ask again',
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
  },
  'list-instances': {
    summary: "List a tenant's instances",
    answers: { 200: { means: 'All that the tenant has', body: 'Instances' } },
    errors: [],
  },
  'list-all-instances': {
    summary: "List all tenants' instances",
    description:
      'A permission of its own. A page looks at `limit` rows and shows those that match; follow `nextCursor` until it is absent, also when a page shows none.',
    query: 'OverviewQuery',
    answers: { 200: { means: 'A page of instances', body: 'Overview' } },
    errors: [],
  },
  'get-instance': {
    summary: 'Get an instance',
    answers: { 200: { means: 'The instance as it is now', body: 'Instance' } },
    errors: ['not-found'],
  },
  'read-token': {
    summary: "Read an instance's element token",
    description: 'A permission of its own. Each read is logged with its caller.',
    answers: {
      200: {
        means: 'The token, a secret that is not to be cached',
        body: 'ElementToken',
        headers: ['cache-control'],
      },
    },
    errors: ['not-found', 'not-active'],
  },
  'change-instance': {
    summary: 'Change an instance',
    description:
      "What is left out stays as it is, and so do id and token; `id` and `element` may be sent along and have to be those of the instance. An empty `configuration` sends the tenant's secret anew, if the instance got its credentials from there; otherwise it is `configuration-from-request` or `configuration-unknown`. Entries that are known to be harmless may always be set; others only where a request has configured the instance, and then every entry that requests have set and every required one together; otherwise they are `missing-configuration`, or an `invalid-request` beside the tenant's secret.",
    body: 'InstanceChanges',
    answers: { 200: { means: 'It has been changed', body: 'Instance' } },
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
  },
  'remove-instance': {
    summary: 'Remove an instance',
    description:
      'At Cloud Elements first, then here. From then on its token cannot be read. It may be repeated.',
    answers: {
      202: { means: 'On its way: it ends without being asked again', headers: ['location', 'retry-after'] },
      204: { means: 'It is gone, or has never been' },
    },
    errors: ['busy', 'origin-changed'],
  },
};

const isOfHttp = (name: string): name is HttpFunctionName => Object.hasOwn(operations, name);

/** The operations with their routes, in the order of the trigger table. */
export const routes = Object.keys(triggers)
  .filter(isOfHttp)
  .map((name) => ({ name, http: triggers[name].http, operation: operations[name] }));
