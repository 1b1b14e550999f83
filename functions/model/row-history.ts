import type { EventOrigin, InstanceRow, Registration } from './instance.ts';
import type { Moments } from './moments.ts';

/** Who has requested an instance and its removal, and when: also in rows of earlier versions, which recorded less. */

type Times = Pick<
  InstanceRow,
  'askedAt' | 'askedTimes' | 'askedBy' | 'removedAt' | 'removedTimes' | 'updatedAt'
>;

export function askedTimesOf(row: Times): Moments {
  return row.askedTimes ?? momentOfEarlier(row, row.askedAt);
}

export function removedTimesOf(row: Times): Moments {
  return row.removedTimes ?? (row.removedAt === undefined ? {} : momentOfEarlier(row, row.removedAt));
}

/**
 * Rows of earlier versions have one time, which is the event's if it is that of their event. A sender's clock may have
 * been years ahead, but no event is sent after its row was written.
 */
function momentOfEarlier({ askedBy, updatedAt }: Times, at: number): Moments {
  if (askedBy?.sentAt !== at) return { own: at };
  return at > updatedAt ? { own: updatedAt } : { event: at };
}

/** Events whose removal the row has begun. Earlier versions recorded the latest one alone. */
export function removalIdsOf(
  row: Pick<InstanceRow, 'status' | 'removedBy' | 'removedTimes' | 'removalIds' | 'askedBy'>,
): string[] {
  const latest = removedByOf(row)?.eventId;
  return row.removalIds ?? (latest === undefined ? [] : [latest]);
}

/** The event that asked for the row's removal. Earlier versions put it in the place of the one that asked for the instance. */
export function removedByOf(
  row: Pick<InstanceRow, 'status' | 'removedBy' | 'removedTimes' | 'askedBy'>,
): EventOrigin | undefined {
  const isEarlierVersions =
    row.removedTimes === undefined && (row.status === 'deleting' || row.status === 'removed');
  return row.removedBy ?? (isEarlierVersions ? row.askedBy : undefined);
}

/** The toolkit's request that the tenant came by, if it did. */
export function registrationOf({
  registration,
  askedBy,
}: Pick<InstanceRow, 'registration' | 'askedBy'>): Registration | undefined {
  if (registration) return registration;
  if (!askedBy || askedBy.dialect === 'native' || askedBy.registrationId === undefined) return undefined;
  return { dialect: askedBy.dialect, registrationId: askedBy.registrationId };
}

/** Does a tenant wait for the reconciler, which has not looked at its row yet? */
export function awaitsFirstLook({ status, lookedAt }: InstanceRow): boolean {
  return (status === 'provisioning' || status === 'deleting') && lookedAt === undefined;
}
