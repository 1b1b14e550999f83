import { builtInCatalog } from '../../../../functions/model/built-in-catalog.ts';
import {
  judged,
  settingsOf,
  type EventOrigin,
  type InstanceRow,
} from '../../../../functions/model/instance.ts';
import { activate, claim, leaveInDoubt } from '../../../../functions/core/lifecycle.ts';
import { neverSeen } from '../../../../functions/core/refusals.ts';
import { markerTags } from '../../../../functions/model/markers.ts';
import { healthPartition } from '../../../../functions/model/table.ts';
import { defaultTiming } from '../../../../functions/model/timing.ts';
import type { OpenSite } from '../workshop.ts';

/** Rows and instances as the service leaves them, without the service: a hundred thousand take seconds. */
export type Seeding = ReturnType<typeof createSeeding>;

export type Item = InstanceRow & { unsettled: string };

/** As many bytes as KMS makes of an element token. */
const token = crypto.getRandomValues(new Uint8Array(200));

export const tagOfAll = 'eu';

export function createSeeding(site: OpenSite) {
  /** A claim made at `nowMs`, as its lease ends; over HTTP unless an event requested it. */
  function claimed(tenantId: string, nowMs: number, requestedBy?: EventOrigin): InstanceRow {
    const requested = settingsOf({ tenantId, elementKey: 'taxify' }, { tags: [tagOfAll] }, requestedBy);
    const settings = judged(builtInCatalog, requested);
    const claimant = { settings, origin: site.simulator.url, claimId: crypto.randomUUID(), nowMs };
    return claim({ ...claimant, sendDeadline: nowMs + 25_000 }, crypto.randomUUID(), defaultTiming);
  }

  /** The row's instance at Cloud Elements. */
  function made(row: InstanceRow): number {
    const { name, tags, elementKey } = row;
    const { id } = site.simulator.seed({
      element: { key: elementKey },
      name,
      tags: [...tags, ...markerTags(row, 'bench')],
      configuration: { 'api.key': 'any' },
    });
    return id;
  }

  return {
    made,

    /** Active and checked; its next check of health is at `healthCheckAt`. */
    active(
      tenantId: string,
      {
        instanceId,
        nowMs,
        healthCheckAt = nowMs,
        requestedBy,
      }: {
        instanceId?: number;
        nowMs: number;
        healthCheckAt?: number;
        requestedBy?: EventOrigin;
      },
    ): Item {
      const row = claimed(tenantId, nowMs, requestedBy);
      const id = instanceId ?? made(row);
      const settled = activate(row, { instanceId: id, token }, nowMs, defaultTiming);
      return { ...settled, healthCheckAt, checkAt: healthCheckAt, unsettled: healthPartition };
    },

    /** A claim whose invocation ended after its create was sent. */
    unfinished(tenantId: string, nowMs: number): Item {
      return { ...claimed(tenantId, nowMs), unsettled: 'first' };
    },

    /** A claim made at `nowMs` whose outcome no look has shown since; it is due at `checkAt`. */
    inDoubt(tenantId: string, { nowMs, checkAt }: { nowMs: number; checkAt: number }): Item {
      const row = claimed(tenantId, nowMs);
      const left = leaveInDoubt(row, neverSeen(row), nowMs, defaultTiming);
      return { ...left, lookedAt: checkAt - defaultTiming.reconcileAgainMs, checkAt, unsettled: 'later' };
    },
  };
}
