/**
 * The one list of metrics: `runtime/metrics.ts` emits them, and dashboard and alarms are made of them. Plain data:
 * imports nothing. CloudWatch bills every name times every combination of dimensions, so none of them is a tenant.
 */

export const metricNamespace = 'ElementOnboarding';

/** On every metric, beside `stage`. */
export const metricService = 'element-onboarding';

/** `by`: the dimension beside service and stage, if any. */
export const metrics = {
  /** Outcomes of requests, messages, records and runs. `Refused`: the input is wrong; `Pending`: a retry is needed. */
  Succeeded: { unit: 'Count', by: 'function' },
  Pending: { unit: 'Count', by: 'function' },
  Refused: { unit: 'Count', by: 'function' },
  /** This service's or Cloud Elements' fault. */
  Failed: { unit: 'Count', by: 'function' },

  /** One call of Cloud Elements, with any outcome; the secrets are read before. */
  UpstreamLatency: { unit: 'Milliseconds', by: 'operation' },
  /** Calls that came to no answer, or to one of 408 or 5xx. */
  UpstreamFailures: { unit: 'Count' },
  /** Calls that Cloud Elements answered with 429. */
  UpstreamThrottled: { unit: 'Count' },
  /** Calls for which the platform secret was of no use: it cannot be read as one, or Cloud Elements says 401. */
  PlatformCredentialsRejected: { unit: 'Count' },

  /** Creates of which it was not known whether they took effect. */
  OutcomesUnknown: { unit: 'Count' },
  /** Claims of others, ended or left open, that were continued. */
  TakeOvers: { unit: 'Count' },
  /** Instances found at Cloud Elements and kept, in place of another create. */
  Adoptions: { unit: 'Count' },
  /** Instances beside the one that is kept. */
  DuplicatesRemoved: { unit: 'Count' },
  DuplicatesLeft: { unit: 'Count' },

  /**
   * Onboarding and offboarding events that came too late or too early to be carried out; repeats are not among them.
   */
  EventsIgnored: { unit: 'Count' },

  /** By every run of the reconciler: age of the oldest due row; 0 when none is due. */
  OldestUnsettledAge: { unit: 'Seconds' },

  /** Two checks of an instance in a row have failed; a check has succeeded again. */
  InstancesTurnedUnhealthy: { unit: 'Count' },
  InstancesRecovered: { unit: 'Count' },
  /** By every run of checks: checks with a result, and those without, which conclude nothing. */
  ChecksConclusive: { unit: 'Count' },
  ChecksInconclusive: { unit: 'Count' },

  /** By every audit: instances with the tag of this stage and without a row. */
  Orphans: { unit: 'Count' },
  /** Active rows without an instance. */
  LostInstances: { unit: 'Count' },
  /** Recorded by an active row, but with the tags of another tenant or stage, or of another element. */
  InstancesNotOurs: { unit: 'Count' },
  InvalidInstances: { unit: 'Count' },
  DisabledInstances: { unit: 'Count' },
  /** By the reconciler, too, when it meets one. */
  UnreadableRows: { unit: 'Count' },
  /** 1 when the audit has not seen everything: its findings are true, but there may be more. */
  AuditsIncomplete: { unit: 'Count' },
  /** 1 when it has seen fewer than half of the instances that active rows record, and so calls none of them lost. */
  AuditsNotVisible: { unit: 'Count' },

  /** Requests refused by the API's own throttling, counted in its access log. */
  RequestsThrottled: { unit: 'Count' },
} as const satisfies Record<
  string,
  { unit: 'Count' | 'Milliseconds' | 'Seconds'; by?: 'function' | 'operation' }
>;

export type MetricName = keyof typeof metrics;

/** Values of the dimension `operation`. */
export const upstreamOperations = [
  'POST /instances',
  'GET /instances',
  'GET /instances/{id}',
  'PATCH /instances/{id}',
  'DELETE /instances/{id}',
  'GET /ping',
] as const;
