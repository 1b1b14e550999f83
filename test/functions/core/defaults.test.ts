import { afterEach, expect, test, vi } from 'vitest';
import { withDefaults } from '../../../functions/core/defaults.ts';

afterEach(() => void vi.useRealTimers());

test('without a clock of its own a use case takes that of the host', async () => {
  vi.useFakeTimers({ now: 1_000, toFake: ['Date'] });
  expect(withDefaults({}).now()).toBe(1_000);
  vi.setSystemTime(2_000);
  expect(withDefaults({}).now()).toBe(2_000);
});

test('a use case waits for the time that it asks for', async () => {
  const { sleep } = withDefaults({});
  const waited: string[] = [];
  const waits = [sleep(20).then(() => waited.push('20 ms')), sleep(1).then(() => waited.push('1 ms'))];
  expect(waited).toEqual([]);
  await Promise.all(waits);
  expect(waited).toEqual(['1 ms', '20 ms']);
});

test('ids are random UUIDs, and given ports replace the defaults', () => {
  const { newId } = withDefaults({});
  expect(newId()).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  expect(newId()).not.toBe(newId());
  expect(withDefaults({ newId: () => 'given' }).newId()).toBe('given');
});
