import { withDefaults } from './defaults.ts';
import { reasonOf, type createCleaning } from './cleaning.ts';
import type { Ports } from './ports.ts';
import type { InstanceRow } from '../model/instance.ts';
import { markerTags, provisionTag } from '../model/markers.ts';

export type Unmarked =
  /** The instance shows no marker of this import, and none can appear any more. */
  | { kind: 'clean' }
  /** `row`: as it is written now. */
  | { kind: 'pending'; row: InstanceRow; delayMs: number; reason: string };

/**
 * Takes the markers of an unfinished import off its instance, and leaves everything else of it. A PATCH of tags whose
 * outcome is unknown may take effect late, so the markers are gone only when a read after the quiescence shows none.
 * The caller holds the row's lease, and the row says that the import comes to no end.
 */
export function createUnmarking(
  ports: Pick<Ports, 'store' | 'cloudElements' | 'stage' | 'timing' | 'now'> &
    Pick<ReturnType<typeof createCleaning>, 'read' | 'timeoutBefore'>,
) {
  const { store, cloudElements, stage, read, timeoutBefore, timing, now } = withDefaults(ports);

  return async function unmark(row: InstanceRow, deadlineAt: number): Promise<Unmarked> {
    const { importedId: instanceId } = row;
    if (instanceId === undefined) return { kind: 'clean' };
    // Taken before the call: a PATCH that takes effect meanwhile may be missing from the response.
    const quietMs = row.sendDeadline + timing.quiescenceMs - now();
    const shown = await read({ ...row, instanceId }, { timeoutMs: timeoutBefore(deadlineAt) });
    if (shown.kind === 'unknown') return pending(row, timing.reconcileAgainMs, shown.reason);
    const shownTags = shown.kind === 'read' ? shown.tags : [];
    if (!shownTags) return pending(row, timing.reconcileAgainMs, `instance ${instanceId} shows no tags`);
    if (!shownTags.includes(provisionTag(row))) {
      return quietMs <= 0
        ? { kind: 'clean' }
        : pending(row, quietMs, `tags of instance ${instanceId} may still take effect`);
    }

    const markers = new Set(markerTags(row, stage));
    const others = shownTags.filter((tag) => !markers.has(tag));
    const earlier = row.importing?.markers ?? [];
    const tags = [...others, ...earlier.filter((tag) => !others.includes(tag))];
    // Written before it is sent, because it may take effect late, too.
    const sending = { ...row, sendDeadline: Math.max(row.sendDeadline, deadlineAt) };
    const written = await store.write(sending, row);
    if (!written.won) return pending(row, timing.reconcileAgainMs, 'another request holds it');
    const { tenantId, elementKey } = row;
    const outcome = await cloudElements.update(
      { tenantId, elementKey, instanceId },
      { tags },
      { timeoutMs: timeoutBefore(deadlineAt) },
    );
    const isDone = outcome.kind === 'updated' || outcome.kind === 'absent';
    return pending(
      sending,
      isDone ? sending.sendDeadline + timing.quiescenceMs - now() : timing.reconcileAgainMs,
      isDone
        ? `tags of instance ${instanceId} may still take effect`
        : `its markers cannot be taken off instance ${instanceId} (${reasonOf(outcome)})`,
    );
  };
}

const pending = (row: InstanceRow, delayMs: number, reason: string): Unmarked => ({
  kind: 'pending',
  row,
  delayMs,
  reason,
});
