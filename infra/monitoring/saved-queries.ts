/** Queries of CloudWatch Logs Insights, by name, as the runbook in `README.md` has them. Plain data. */

/** The last log lines of a tenant; an id has no character that needs care in a query. */
export const linesOfTenant = (tenantId: string): string =>
  `fields @timestamp, @message | filter tenantId = "${tenantId}" | sort @timestamp desc | limit 50`;

export const savedQueries = {
  'Log lines of a tenant (replace acme)': linesOfTenant('acme'),
  'Platform credentials: refused calls':
    'fields @message | filter outcome = "credentials-rejected" or error.code like /platform-credentials/ | sort @timestamp desc | limit 20',
  'Provisioning fails: errors by code':
    'filter ispresent(error.code) | stats count(*) as times by error.code, error.message | sort times desc',
  'Provisioning fails: calls of Cloud Elements':
    'filter message = "cloud-elements" and outcome != "answered" | stats count(*) as times by operation, outcome, status, reason',
  'Dead letters: failed deliveries':
    'fields @message | filter message = "message" and retry = 1 | sort @timestamp desc | limit 50',
  'Results: writes that could not be published':
    'fields @message | filter message in ["change", "changes"] and level = "ERROR" | sort @timestamp desc | limit 50',
  'Events ignored': 'fields @message | filter message = "event-ignored" | sort @timestamp desc | limit 50',
  'Oldest unsettled: rows left open':
    'fields @message | filter message in ["left-open", "look-up-failed", "instance-left", "duplicate-left"] | sort @timestamp desc | limit 50',
  'Oldest unsettled: scheduled runs':
    'fields @message | filter message = "run" | sort @timestamp desc | limit 5',
  'API errors: responses 5xx':
    'filter ispresent(latencyMs) and status like /^5/ | stats count(*) as times by route, status, integrationError',
  'API errors: of functions':
    'filter message = "request" and level = "ERROR" | stats count(*) as times by route, outcome',
  'Functions fail':
    'fields @log, @message | filter level = "ERROR" or @message like /Task timed out|Runtime exited|Invoke Error/ | sort @timestamp desc | limit 20',
  'Requests throttled':
    'filter ispresent(latencyMs) and status like /429/ | stats count(*) as times by route, caller',
  'Instances unhealthy: by element and reason':
    'filter message = "instance-unhealthy" | stats count(*) as times by elementKey, reason',
  'Instances unhealthy: turns':
    'fields @message | filter message in ["instance-unhealthy", "instance-recovered"] | sort @timestamp desc | limit 50',
  Duplicates:
    'fields @message | filter message in ["duplicate-removed", "duplicate-left", "outcome-unknown"] | sort @timestamp desc',
  'Lost instances': 'fields @message | filter message = "instance-lost" | sort @timestamp desc',
  'Instances not visible: audits':
    'fields @message | filter message = "run" and ispresent(notVisible) | sort @timestamp desc | limit 3',
  'Instances not ours': 'fields @message | filter message = "not-ours" | sort @timestamp desc',
  'Unreadable rows':
    'fields @message | filter message = "row-unreadable" or error.message like /cannot be read/ or reason like /cannot be read/ | sort @timestamp desc | limit 20',
  Orphans: 'fields @message | filter message = "orphan" | sort @timestamp desc',
  Audits: 'fields @message | filter message = "run" and ispresent(theirs) | sort @timestamp desc | limit 3',
} as const;
