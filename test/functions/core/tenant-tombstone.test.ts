import { expect, test } from 'vitest';
import { isTenantRemovedSince } from '../../../functions/core/tenant-tombstone.ts';
import { wholeTenant } from '../../../functions/model/instance.ts';
import type { Moments } from '../../../functions/model/moments.ts';
import { fakePorts } from '../../support/fake-ports.ts';

const noon = Date.parse('2026-11-26T12:00:00Z');

test.each<[boolean, string, Moments, string | undefined]>([
  [false, 'whose tenant was never removed', { event: noon }, undefined],
  [false, 'whose tenant gave up one element', { event: noon - 1_000 }, 'taxify'],
  [true, 'from before the removal of its tenant', { event: noon - 1_000 }, wholeTenant],
  [true, 'from the same second', { event: noon }, wholeTenant],
  [false, 'from after it', { event: noon + 1_000 }, wholeTenant],
  [
    false,
    'from before it by one clock and clearly after it by another',
    { event: noon, own: noon + 6_000 },
    wholeTenant,
  ],
])(
  'the tenant has been removed since (%s) for requests %s',
  async (isRemoved, _what, requested, elementKey) => {
    const fake = fakePorts();
    if (elementKey !== undefined) {
      await fake.put({ ...fake.claimed(), elementKey, status: 'removed', removedTimes: { event: noon } });
    }
    expect(await isTenantRemovedSince(fake.store, 'acme', requested)).toBe(isRemoved);
  },
);
