import { builtInCatalog } from '../../functions/model/built-in-catalog.ts';
import type {
  CloudElements,
  ImportedIds,
  Observation,
  Ports,
  ReadOutcome,
} from '../../functions/core/ports.ts';
import { claim, type Claimant } from '../../functions/core/lifecycle.ts';
import { judged, settingsOf, type InstanceRow } from '../../functions/model/instance.ts';
import { defaultTiming } from '../../functions/model/timing.ts';
import { createInMemoryStore } from '../proofs/explorer/in-memory-store.ts';

const origin = 'https://one.example';
const key = { tenantId: 'acme', elementKey: 'taxify' };

/** An instance that Cloud Elements shows by its id, with markers and without a fault. */
export const shownInstance = (instanceId: number, over: Partial<ShownInstance> = {}): ShownInstance => ({
  kind: 'read',
  owned: 'ours',
  instanceId,
  elementKey: 'taxify',
  token: `token-of-${instanceId}`,
  createdDate: undefined,
  valid: true,
  disabled: false,
  ...over,
});
export type ShownInstance = Extract<ReadOutcome, { kind: 'read' }>;

/**
 * Ports in memory for single steps of a use case, with a clock that only the test and `sleep` move. Cloud Elements has
 * nothing and does everything that is asked; a test replaces the calls that matter to it.
 */
export function fakePorts(calls: Partial<CloudElements> = {}) {
  const { store, importedIds, find } = createInMemoryStore();
  const observed: Observation[] = [];
  const clock = { nowMs: Date.parse('2026-11-26T12:00:00Z') };
  let ids = 0;
  const newId = () => `id-${++ids}`;
  const ports: Required<Ports> & { importedIds: ImportedIds } = {
    store,
    importedIds,
    cloudElements: {
      create: async () => ({ kind: 'created', instance: { id: 7, token: 'token-of-7' } }),
      update: async () => ({ kind: 'updated' }),
      read: async ({ instanceId, elementKey }) => shownInstance(instanceId, { elementKey }),
      lookUp: async () => ({ kind: 'found', instances: [], isCertain: true }),
      list: async () => ({ kind: 'listed', instances: [], nextPage: undefined }),
      remove: async () => ({ kind: 'removed' }),
      ...calls,
    } satisfies CloudElements,
    cipher: {
      encrypt: async (token) => new TextEncoder().encode(token),
      decrypt: async (bytes) => new TextDecoder().decode(bytes),
    },
    catalog: builtInCatalog,
    readTenantSecret: async () => ({ name: 'tests/tenants/acme/taxify', configuration: undefined }),
    origin,
    stage: 'tests',
    observe: (observation) => void observed.push(observation),
    timing: defaultTiming,
    now: () => clock.nowMs,
    sleep: async (delayMs) => {
      clock.nowMs += delayMs;
    },
    newId,
  };

  /** A claim by a request that brings its key. */
  const claimant = (): Claimant => ({
    settings: judged(builtInCatalog, settingsOf(key, { configuration: { 'api.key': 'k' } })),
    origin,
    claimId: newId(),
    nowMs: clock.nowMs,
    sendDeadline: clock.nowMs + 25_000,
  });
  const claimed = (): InstanceRow => claim(claimant(), newId(), defaultTiming);

  /** Writes a row as it is, whatever stands there. */
  async function put(row: InstanceRow): Promise<InstanceRow> {
    const current = find(row);
    if (current) await store.remove(current);
    await store.claim(row);
    return row;
  }

  return { ports, store, key, clock, observed, claimant, claimed, put, rowOf: () => find(key) };
}
