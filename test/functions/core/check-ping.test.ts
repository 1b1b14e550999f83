import { expect, test } from 'vitest';
import { createChecking } from '../../../functions/core/check.ts';
import { activate } from '../../../functions/core/lifecycle.ts';
import { catalogWith } from '../../../functions/model/built-in-catalog.ts';
import type { Elements } from '../../../functions/model/elements.ts';
import { defaultCheckTiming, defaultTiming } from '../../../functions/model/timing.ts';
import { fakePorts } from '../../support/fake-ports.ts';

async function checkWith(elements: Elements, disabled = false) {
  const fake = fakePorts();
  const token = new TextEncoder().encode('token-of-7');
  await fake.put(activate(fake.claimed(), { instanceId: 7, token }, fake.clock.nowMs, defaultTiming));
  let pings = 0;
  const { timing: _, ...ports } = fake.ports;
  const { check } = createChecking({
    ...ports,
    timing: defaultCheckTiming,
    catalog: catalogWith(elements),
    cloudElements: {
      ...ports.cloudElements,
      read: async ({ instanceId, elementKey }) => ({
        kind: 'read',
        owned: 'ours',
        instanceId,
        elementKey,
        token: 'token-of-7',
        createdDate: undefined,
        valid: true,
        disabled,
      }),
    },
    store: { ...fake.store, postpone: async () => {}, dueChecks: async () => [] },
    ping: async () => {
      pings += 1;
      return { status: 'healthy' };
    },
  });
  const { finding } = await check(fake.key, { deadlineAt: fake.clock.nowMs + 29_000 });
  return { finding, pings };
}

test('an element without a ping costs no ping, and its health is unknown', async () => {
  expect(await checkWith({ taxify: { ping: false } })).toMatchObject({
    finding: { status: 'unknown', reason: 'no-ping' },
    pings: 0,
  });
});

test('an element without a ping is still found disabled', async () => {
  expect(await checkWith({ taxify: { ping: false } }, true)).toMatchObject({
    finding: { status: 'unhealthy', reason: 'disabled' },
    pings: 0,
  });
});

test.each([{}, { taxify: { ping: true } }])(
  'an element that is not known to lack a ping is pinged: %j',
  async (elements) => {
    expect(await checkWith(elements)).toMatchObject({ finding: { status: 'healthy' }, pings: 1 });
  },
);
