import type { EventOrigin, InstanceRow, Registration } from './instance.ts';
import type { Moments } from './moments.ts';

/** Who has requested an instance and its removal, and when: also in rows of earlier versions, which recorded less. */

type Times = Pick<
  InstanceRow,
  'requestedAt' | 'requestedTimes' | 'requestedBy' | 'removedAt' | 'removedTimes' | 'updatedAt'
>;

export function requestedTimesOf(row: Times): Moments {
  return row.requestedTimes ?? momentOfEarlier(row, row.requestedAt);
}

export function removedTimesOf(row: Times): Moments {
  return row.removedTimes ?? (row.removedAt === undefined ? {} : momentOfEarlier(row, row.removedAt));
}

/**
 * Rows of earlier versions have one time, which is the event's if it is that of their event. A sender's clock may have
 * been years ahead, but no event is sent after its row was written.
 */
function momentOfEarlier({ requestedBy, updatedAt }: Times, at: number): Moments {
  if (requestedBy?.sentAt !== at) return { own: at };
  return at > updatedAt ? { own: updatedAt } : { event: at };
}

/** Events whose removal the row has begun. Earlier versions recorded the latest one alone. */
export function removalIdsOf(
  row: Pick<InstanceRow, 'status' | 'removedBy' | 'removedTimes' | 'removalIds' | 'requestedBy'>,
): string[] {
  const latest = removedByOf(row)?.eventId;
  return row.removalIds ?? (latest === undefined ? [] : [latest]);
}

/**
 * The event that requested the row's removal. Earlier versions stored it in place of the one that requested the
 * instance.
 */
export function removedByOf(
  row: Pick<InstanceRow, 'status' | 'removedBy' | 'removedTimes' | 'requestedBy'>,
): EventOrigin | undefined {
  const isEarlierVersions =
    row.removedTimes === undefined && (row.status === 'deleting' || row.status === 'removed');
  return row.removedBy ?? (isEarlierVersions ? row.requestedBy : undefined);
}

/** The toolkit's request that the tenant came by, if it did. */
export function registrationOf({
  registration,
  requestedBy,
}: Pick<InstanceRow, 'registration' | 'requestedBy'>): Registration | undefined {
  if (registration) return registration;
  if (!requestedBy || requestedBy.dialect === 'native' || requestedBy.registrationId === undefined)
    return undefined;
  return { dialect: requestedBy.dialect, registrationId: requestedBy.registrationId };
}

/** Does a tenant wait for the reconciler, which has not looked at its row yet? */
export function awaitsFirstLook({ status, lookedAt }: InstanceRow): boolean {
  return (status === 'provisioning' || status === 'deleting') && lookedAt === undefined;
}
