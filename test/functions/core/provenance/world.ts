import { catalogWith } from '../../../../functions/model/built-in-catalog.ts';
import { allowedKeys, isAllowListed, type Catalog } from '../../../../functions/model/catalog.ts';
import * as entryValue from '../../../../functions/model/entry-value.ts';
import type {
  UpdateOutcome,
  CloudElements,
  CreateOutcome,
  InstanceStore,
  Failure,
  Ports as CorePorts,
  Write,
} from '../../../../functions/core/ports.ts';
import { OnboardingError } from '../../../../functions/model/errors.ts';
import type { Configuration, InstanceKey } from '../../../../functions/model/instance.ts';
import { functionTimeoutMs, recheckMs, slowestCreateMs } from '../../../../functions/model/timing.ts';
import { createInMemoryStore } from '../../../proofs/explorer/in-memory-store.ts';
import type { Random } from '../../../support/seeded-random.ts';

/** An instance at Cloud Elements: every update is merged into its configuration. */
export type ModelInstance = InstanceKey & {
  id: number;
  token: string;
  tags: readonly string[];
  createdDate: string;
  configuration: Readonly<Record<string, string>>;
  isAlive: boolean;
};

/** A value names its origin. */
export const stored = (n: number): string => `stored:${n}`;
export const callers = (n: number): string => `caller:${n}`;
const isStored = (value: string): boolean => value.startsWith('stored:');
const isCallers = (value: string): boolean => value.startsWith('caller:');

const textOf = (configuration: Configuration) =>
  Object.fromEntries(Object.entries(configuration).map(([name, value]) => [name, entryValue.textOf(value)]));

type Asked = Parameters<CloudElements['create']>[0];

/** One run of a function, which does nothing after its end. */
export type Invocation = { name: string; endsAt: number; die: () => void };

/** The ports of a use case. */
export type Ports = Required<Omit<CorePorts, 'timing'>>;

/** An element that the deployer has described, with an address that requests may choose. */
export const addressed = 'addressed';
export const allSites = ['eu-1', 'eu-2', 'us-1'] as const;
const withAllSites = catalogWith({
  [addressed]: { allowed: { 'pagination.max': 'count' }, addresses: { site: 'dns-label' } },
});

/** Addresses that an update of unknown outcome may set. */
type Sites = readonly { id: number; site: string }[];

const sitesIn = (id: number, { site }: Configuration): Sites =>
  site === undefined ? [] : [{ id, site: entryValue.textOf(site) }];

const beginning = Date.UTC(2026, 10, 25);

/**
 * A small model of Cloud Elements, store and secrets, with a clock of its own. Calls fail, take effect late or are
 * interrupted by another operation, as `random` decides.
 */
export function createWorld(random: Random) {
  let nowMs = beginning;
  let isQuiet = false;
  let violation: string | undefined;
  const late: { what: string; at: number; apply: () => void; sites: Sites }[] = [];
  const story: string[] = [];
  const instances: ModelInstance[] = [];
  const secrets = new Map<string, Configuration>();
  /** The values of `site` that the deployer's list accepts; an update of the list counts from the next invocation on. */
  let sites: readonly string[] = allSites;
  const catalogNow = () =>
    catalogWith({
      [addressed]: {
        required: ['api.key'],
        allowed: { 'pagination.max': 'count' },
        ...(sites.length > 0 && { addresses: { site: { oneOf: [...sites] } } }),
      },
    });
  /** Values of callers that the operator has seen at Cloud Elements and vouched for. */
  const vouched = new Set<string>();
  const { store: rows, importedIds, find, rows: allRows } = createInMemoryStore();
  /** Runs another operation in between. */
  let interrupt: (() => Promise<void>) | undefined;

  const now = () => nowMs;
  const tell = (line: string): void => {
    story.push(`${((nowMs - beginning) / 1_000).toFixed(0).padStart(6)} s  ${line}`);
  };

  function advance(ms: number): void {
    const until = nowMs + ms;
    for (;;) {
      const due = late.filter(({ at }) => at <= until).toSorted((a, b) => a.at - b.at)[0];
      if (!due) break;
      late.splice(late.indexOf(due), 1);
      nowMs = Math.max(nowMs, due.at);
      due.apply();
    }
    nowMs = until;
  }

  function later(what: string, withinMs: number, apply: () => void, of: Sites = []): void {
    const at = nowMs + random.between(1, withinMs);
    late.push({
      what,
      at,
      sites: of,
      apply: () => {
        tell(`late: ${what}`);
        apply();
      },
    });
  }

  /** Every awaited call may be interrupted, and ends with the invocation. */
  async function outside<T>(invocation: Invocation, ms: number, act: () => T | Promise<T>): Promise<T> {
    if (!isQuiet && random.chance(0.06)) await interrupt?.();
    advance(ms);
    if (nowMs >= invocation.endsAt) {
      invocation.die();
      return new Promise(() => {});
    }
    return act();
  }

  /** The promise: no key from a secret beside a caller's value outside the allow-list. */
  function check({ id, elementKey, isAlive, configuration }: ModelInstance): void {
    if (!isAlive) return;
    const allowed = allowedKeys(withAllSites, elementKey);
    const values = Object.entries(configuration).flatMap(([name, value]) =>
      allowed.includes(name) ? [] : [value],
    );
    if (!values.some(isStored)) return;
    const chosen = values.find((value) => isCallers(value) && !vouched.has(value));
    if (chosen !== undefined) {
      violation ??= `instance ${id} holds a stored key beside ${chosen}`;
      tell(`VIOLATION: ${violation}`);
    }
  }

  /**
   * The promise about addresses: no key from a secret is sent to an instance that has, or may yet get, an address that
   * the list of now does not accept.
   */
  function checkSending(
    catalog: Catalog,
    sent: Configuration,
    { id, elementKey, configuration }: Partial<ModelInstance>,
  ): void {
    if (elementKey !== addressed || !Object.values(textOf(sent)).some(isStored)) return;
    const at = [sent, configuration].flatMap((each) =>
      each?.['site'] === undefined ? [] : [entryValue.textOf(each['site'])],
    );
    const current = at.slice(0, 1);
    const pending = late.flatMap(({ sites: of }) =>
      of.flatMap((each) => (each.id === id ? [each.site] : [])),
    );
    const refused = [...current, ...pending].find(
      (site) => !isAllowListed(catalog, addressed, 'site', site) && !vouched.has(`${id} ${site}`),
    );
    if (refused === undefined) return;
    violation ??= `a stored key is sent to instance ${id} with the address ${refused}`;
    tell(`VIOLATION: ${violation}`);
  }

  function create(requested: Asked): ModelInstance {
    const { tenantId, elementKey, tags, configuration } = requested;
    const id = instances.length + 1;
    const createdDate = `${new Date(nowMs).toISOString().slice(0, 19)}Z`;
    const instance: ModelInstance = {
      tenantId,
      elementKey,
      id,
      token: `token-${id}`,
      tags,
      createdDate,
      configuration: textOf(configuration),
      isAlive: true,
    };
    instances.push(instance);
    tell(`Cloud Elements makes ${id}: ${JSON.stringify(instance.configuration)}`);
    check(instance);
    return instance;
  }

  function cloudElementsFor(invocation: Invocation, catalog: Catalog): CloudElements {
    return {
      create: (requested) =>
        outside(invocation, 1_000, (): CreateOutcome | Promise<CreateOutcome> => {
          checkSending(catalog, requested.configuration, { elementKey: requested.elementKey });
          const way = isQuiet ? 0 : random.fraction();
          if (way < 0.55) return { kind: 'created', instance: create(requested) };
          if (way < 0.65) create(requested);
          else if (way < 0.75) later('create', slowestCreateMs, () => void create(requested));
          // Later than assumed, but before the recheck.
          else if (way < 0.85) later('overdue create', recheckMs / 2, () => void create(requested));
          else if (way > 0.92) return failure();
          return lost(invocation, { kind: 'unknown', reason: 'no answer' });
        }),
      update: ({ instanceId }, { configuration = {}, name, tags }) =>
        outside(invocation, 1_000, (): UpdateOutcome | Promise<UpdateOutcome> => {
          const instance = instances.find(({ id }) => id === instanceId);
          if (!instance?.isAlive) return { kind: 'absent' };
          checkSending(catalog, configuration, instance);
          const merge = () => {
            instance.configuration = { ...instance.configuration, ...textOf(configuration) };
            if (tags) instance.tags = tags;
            tell(`Cloud Elements merges into ${instanceId}: ${JSON.stringify(configuration)} ${name ?? ''}`);
            check(instance);
          };
          const way = isQuiet ? 0 : random.fraction();
          if (way < 0.55) {
            merge();
            return { kind: 'updated' };
          }
          if (way < 0.65) merge();
          else if (way < 0.85)
            later(`change of ${instanceId}`, slowestCreateMs, merge, sitesIn(instanceId, configuration));
          else if (way > 0.9) return failure();
          return lost(invocation, { kind: 'unknown', reason: 'no answer' });
        }),
      read: ({ instanceId }) =>
        outside(invocation, 200, () => {
          const instance = instances.find(({ id }) => id === instanceId);
          if (!instance?.isAlive) return { kind: 'absent' };
          const { elementKey, token, createdDate, tags } = instance;
          const facts = { elementKey, token, createdDate, tags, valid: true, disabled: false };
          return { kind: 'read', owned: 'ours', instanceId, ...facts };
        }),
      lookUp: ({ elementKey, provisionId, instanceId, exceptId }) =>
        outside(invocation, 200, () => {
          if (!isQuiet && random.chance(0.1)) return { kind: 'unknown', reason: 'no answer' };
          const found = instances.filter(
            (each) =>
              each.isAlive &&
              each.elementKey === elementKey &&
              each.id !== exceptId &&
              (each.id === instanceId || each.tags.includes(`provision:${provisionId}`)),
          );
          return { kind: 'found', instances: [...found], isCertain: true };
        }),
      list: () => Promise.resolve({ kind: 'unknown', reason: 'not part of this' }),
      remove: ({ instanceId }) =>
        outside(invocation, 200, () => {
          const instance = instances.find(({ id }) => id === instanceId);
          if (instance) instance.isAlive = false;
          return { kind: 'removed' };
        }),
    };
  }

  function failure(): Failure {
    return random.chance(0.5)
      ? { kind: 'refused', error: new OnboardingError('refused-by-cloud-elements', 'No.') }
      : {
          kind: 'not-done',
          error: new OnboardingError('cloud-elements-busy', 'Not now.'),
          retryAfterMs: 1_000,
        };
  }

  /** The response does not arrive, or the function has died meanwhile. */
  function lost<T>(invocation: Invocation, outcome: T): T | Promise<T> {
    if (!random.chance(0.2)) return outcome;
    tell(`${invocation.name} dies`);
    invocation.die();
    return new Promise(() => {});
  }

  function storeFor(invocation: Invocation): InstanceStore {
    const write = (act: () => Promise<Write>): Promise<Write> =>
      outside(invocation, 5, async () => {
        if (isQuiet || !random.chance(0.02)) return act();
        if (random.chance(0.5)) await act();
        throw new OnboardingError('aws-unavailable', 'The write has no answer.');
      });
    return {
      ...rows,
      claim: (next, asRead) => write(() => rows.claim(next, asRead)),
      write: (next, held) => write(() => rows.write(next, held)),
      remove: (held) => write(() => rows.remove(held)),
      get: (key) => outside(invocation, 5, () => rows.get(key)),
    };
  }

  let ids = 0;
  function portsFor(invocation: Invocation): Ports {
    // An invocation has the list of its start.
    const catalog = catalogNow();
    return {
      store: storeFor(invocation),
      catalog,
      cloudElements: cloudElementsFor(invocation, catalog),
      cipher: {
        encrypt: (token: string) => Promise.resolve(new TextEncoder().encode(token)),
        decrypt: (bytes: Uint8Array) => Promise.resolve(new TextDecoder().decode(bytes)),
      },
      readTenantSecret: (key: InstanceKey) =>
        outside(invocation, 5, () => ({ name: 'the secret', configuration: secrets.get(key.elementKey) })),
      origin: 'https://cloud-elements.test',
      stage: 'test',
      observe: () => {},
      now,
      sleep: (ms: number) => outside(invocation, ms, () => undefined),
      newId: () => `id-${++ids}`,
    };
  }

  /** Runs an operation of a function to its end, its deadline or its death. */
  async function invoke(
    name: string,
    run: (ports: Ports, deadlineAt: number) => Promise<string>,
  ): Promise<void> {
    const { promise: died, resolve: die } = Promise.withResolvers<string>();
    const invocation = { name, endsAt: nowMs + functionTimeoutMs, die: () => die('no end') };
    tell(`${name} begins`);
    const told = run(portsFor(invocation), invocation.endsAt).catch((error: unknown) => {
      if (error instanceof OnboardingError) return error.code;
      throw error;
    });
    tell(`${name}: ${await Promise.race([told, died])}`);
  }

  return {
    now,
    advance,
    invoke,
    tell,
    story,
    find,
    rows: allRows,
    store: rows,
    importedIds,
    secrets,
    instances,
    violation: () => violation,
    /** The deployer changes the list of addresses. */
    allowSites: (of: readonly string[]) => {
      sites = of;
      tell(`the list of sites is ${JSON.stringify(of)}`);
    },
    isChangePending: () => late.some(({ what }) => what.startsWith('change')),
    interruptWith: (operation: typeof interrupt) => {
      interrupt = operation;
    },
    /** A caller makes an instance by hand, without this service. @returns its id */
    handMake: (elementKey: string, configuration: Configuration): number =>
      create({ tenantId: 'none', elementKey, name: 'By hand', tags: [], configuration }).id,
    /** From here on nothing fails, and nothing is interrupted. */
    calmDown: () => {
      isQuiet = true;
    },
    /** The operator has checked the instance and vouches for its configuration. */
    vouchFor: (instanceId: number | undefined) => {
      const instance = instances.find(({ id }) => id === instanceId);
      for (const value of Object.values(instance?.configuration ?? {})) vouched.add(value);
      vouched.add(`${instanceId} ${instance?.configuration['site']}`);
    },
  };
}
export type World = ReturnType<typeof createWorld>;
