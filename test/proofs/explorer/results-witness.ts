import * as z from 'zod/mini';
import { wholeTenant, type InstanceRow } from '../../../functions/model/instance.ts';
import { resultOf, type Result } from '../../../functions/model/result-events.ts';
import { triggers } from '../../../functions/triggers.ts';
import type { Requested, Told } from './removal-witness.ts';

/** The used fields of a result's detail, native or of the toolkit. */
const detailSchema = z.object({
  revision: z.optional(z.number()),
  request: z.optional(z.object({ eventId: z.string() })),
  tenantRegistrationId: z.optional(z.string()),
});

/** Writes to rows in these states reach the function that publishes results. */
const streamed: readonly string[] = triggers['publish-results'].stream.after.status;

/** The message is redelivered, or its event is ignored. */
const isWithoutResponse = (outcome: string): boolean =>
  ['in-progress', 'waiting-for-secret', 'outdated'].includes(outcome);

/** Checks that every event is answered through the table's stream, and that results have distinct revisions. */
export function createResultsWitness({ report }: { report: (what: string) => void }) {
  /** The results of all writes, in order. */
  const results: Result[] = [];
  const responses = new Set<string>();
  const revisions = new Map<string, number>();
  const acknowledged = new Set<string>();
  const offboardings = new Set<string>();

  /** @returns whether the whole tenant was said to be gone */
  function rowChanged(before: InstanceRow | undefined, after: InstanceRow | undefined): boolean {
    if (!after || !streamed.includes(after.status)) return false;
    const result = resultOf({ before, after });
    if (result.events.length === 0) return false;
    results.push(result);
    const key = `${after.tenantId}/${after.elementKey}`;
    let isGone =
      after.elementKey === wholeTenant && after.status === 'removed' && before?.status !== 'removed';
    const last = revisions.get(key) ?? -Infinity;
    for (const { source, detailType, detail } of result.events) {
      const { revision, request, tenantRegistrationId } = detailSchema.parse(detail);
      if (tenantRegistrationId !== undefined)
        isGone = answersToolkit(detailType, tenantRegistrationId) || isGone;
      else if (revision === undefined) report(`${detailType} of ${source} has no revision`);
      else if (revision <= last) report(`${detailType} of ${key} has revision ${revision} after ${last}`);
      if (revision !== undefined) revisions.set(key, Math.max(revision, revisions.get(key) ?? revision));
      if (request) responses.add(request.eventId);
    }
    return isGone;
  }

  /** @returns whether the response says that the tenant is gone */
  function answersToolkit(detailType: string, registration: string): boolean {
    const isRemoval = detailType === 'sbt_aws_deprovisionSuccess';
    responses.add(`${isRemoval ? 'remove' : 'provision'} ${registration}`);
    if (isRemoval && !offboardings.has(registration)) {
      report(`${detailType} for ${registration}, which did not request it`);
    }
    return isRemoval;
  }

  function begins({ kind, message }: Requested): void {
    const registration = message?.event.registration;
    if (kind === 'remove' && registration !== undefined) offboardings.add(registration);
  }

  /** An event whose message does not come again has its answer; an ignored one has none. */
  function ends({ kind, message }: Requested, told: Told): void {
    if (!message) return;
    if ('code' in told ? told.isRetryable : isWithoutResponse(told.outcome)) return;
    acknowledged.add(message.event.id);
    if (message.event.registration !== undefined) acknowledged.add(`${kind} ${message.event.registration}`);
  }

  function settled(): void {
    for (const id of acknowledged)
      if (!responses.has(id)) report(`${id} was acknowledged and never answered`);
  }

  const state = () =>
    [
      [...responses].join(),
      [...acknowledged].join(),
      ...[...revisions].map(([key, revision]) => `${key} ${revision}`),
    ].join('\n');

  return { rowChanged, begins, ends, settled, state, results };
}
