import { createUpdating, type Changes } from '../../../../functions/core/update.ts';
import {
  settingsOf,
  type Configuration,
  type EventOrigin,
  type InstanceKey,
} from '../../../../functions/model/instance.ts';
import { momentOf } from '../../../../functions/model/instance.ts';
import { momentsOf } from '../../../../functions/model/moments.ts';
import { createImporting } from '../../../../functions/core/import.ts';
import { createProvisioning } from '../../../../functions/core/provision.ts';
import { createReconciling } from '../../../../functions/core/reconcile.ts';
import { createRemoving } from '../../../../functions/core/remove.ts';
import { createTrusting } from '../../../../functions/core/trust.ts';
import type { Random } from '../../../support/seeded-random.ts';
import { addressed, allSites, callers, stored, type World } from './world.ts';

/** Entries outside the allow-list, the required ones first, and how many of them are required. */
const elements = {
  taxify: { names: ['api.key', 'base.url', 'partner.key'], required: 1 },
  // Outside the catalog.
  zendesk: { names: ['subdomain', 'username'], required: 0 },
  [addressed]: { names: ['api.key', 'partner.key'], required: 1 },
} as const;

/** Operations of callers, the control plane and the operator on one tenant's instance. */
export function createOperations(world: World, random: Random, elementKey: keyof typeof elements) {
  const key: InstanceKey = { tenantId: 'acme', elementKey };
  const { names, required } = elements[elementKey];
  let count = 0;
  let eventId = 'event-0';

  const chosen = (value: (n: number) => string, of: readonly string[]): Configuration =>
    Object.fromEntries(of.map((name) => [name, value(++count)]));
  const someOf = (of: readonly string[]) => of.filter(() => random.chance(0.5));
  const allowed = (): Configuration => {
    if (elementKey === 'zendesk') return {};
    return {
      ...(random.chance(0.3) && { 'pagination.max': random.between(1, 2) }),
      ...(elementKey === addressed && random.chance(0.6) && { site: random.oneOf(allSites) }),
    };
  };
  /** A caller's configuration, mostly valid: with every required entry. */
  const own = (): Configuration => {
    const these = random.chance(0.85) ? names.slice(0, required) : [];
    const some = [...new Set([...these, ...someOf(names)])];
    return {
      ...chosen(callers, some.length > 0 ? some : [random.oneOf(['base.url', 'subdomain'])]),
      ...allowed(),
    };
  };

  const update = (who: string, changes: Changes) =>
    world.invoke(`${who} PATCHes ${JSON.stringify(changes)}`, async (ports, deadlineAt) => {
      await createUpdating(ports)(key, changes, { deadlineAt });
      return 'updated';
    });
  const provision = (who: string, configuration: Configuration, requestedBy?: EventOrigin) =>
    world.invoke(`${who} asks with ${JSON.stringify(configuration)}`, async (ports, deadlineAt) => {
      const name = random.chance(0.2) ? 'Store' : 'Shop';
      const settings = settingsOf(
        key,
        requestedBy?.dialect === 'sbt-0.9' ? {} : { name, configuration },
        requestedBy,
      );
      const { outcome } = await createProvisioning(ports)(settings, {
        deadlineAt,
        recordRefusal: requestedBy !== undefined,
      });
      return outcome;
    });

  function origin(): EventOrigin {
    // Now and then the previous event is repeated.
    if (random.chance(0.7)) eventId = `event-${++count}`;
    const sentAt = Math.floor(world.now() / 1_000) * 1_000;
    return random.chance(0.5)
      ? { dialect: 'native', eventId, sentAt }
      : { dialect: 'sbt-0.9', eventId, sentAt, registrationId: `registration of ${eventId}` };
  }

  /** Of an instance that a caller has made by hand, with an address of its own. */
  const importHandMade = () =>
    world.invoke('the operator imports', async (ports, deadlineAt) => {
      const address = elementKey === 'zendesk' ? 'subdomain' : 'base.url';
      const instanceId = world.handMake(elementKey, chosen(callers, [...names, address]));
      const { importInstance } = createImporting({ ...ports, importedIds: world.importedIds });
      return (await importInstance({ ...key, instanceId }, { deadlineAt })).outcome;
    });

  const trust = () =>
    world.invoke('the operator trusts', async (ports) => {
      const claim: typeof ports.store.claim = async (row, asRead) => {
        try {
          return await ports.store.claim(row, asRead);
        } finally {
          // Also when the response is lost.
          if (world.find(key)?.claimId === row.claimId) world.vouchFor(row.instanceId);
        }
      };
      const trusted = await createTrusting({ ...ports, store: { ...ports.store, claim } })(key, {
        lookedAtMs: Infinity,
      });
      return 'reason' in trusted ? trusted.reason : trusted.kind;
    });

  const rotate = () => update('the operator', { configuration: {} });

  async function putSecret(configuration: Configuration): Promise<void> {
    world.tell(`the secret is ${JSON.stringify(configuration)}`);
    world.secrets.set(elementKey, configuration);
  }

  const reconcile = () =>
    world.invoke('the reconciler', async (ports, deadlineAt) => {
      const { tally } = await createReconciling({ ...ports, importedIds: world.importedIds }).reconcile({
        deadlineAt,
      });
      return JSON.stringify(tally);
    });

  function remove(requestedBy?: EventOrigin): Promise<void> {
    return world.invoke(requestedBy ? 'an offboarding' : 'a caller DELETEs', async (ports, deadlineAt) => {
      const moment = requestedBy ? momentOf(requestedBy) : { clock: 'own' as const, at: world.now() };
      const removal = { times: momentsOf(moment), by: requestedBy };
      return (await createRemoving(ports).remove(key, removal, { deadlineAt })).outcome;
    });
  }

  /** Makes the row one of an earlier version, which did not record provenance. */
  async function forget(): Promise<void> {
    const row = world.find(key);
    // That version's updates have ended, as the README requires.
    if (!row || row.source === undefined || world.isChangePending() || row.leaseExpiresAt > world.now())
      return;
    const {
      source: _source,
      requestEntries: _entries,
      requestDigest: _digest,
      formers: _formers,
      ...earlier
    } = row;
    if ((await world.store.write(earlier, row)).won) world.tell(`an earlier version has written the row`);
  }

  async function wait(ms: number): Promise<void> {
    world.advance(ms);
    world.tell('time has passed');
  }

  /** Often enough the create has no response: then the row fails, and its instance appears late. */
  async function claimAndWait(): Promise<void> {
    await provision('a caller', chosen(callers, names));
    await wait(3 * 60_000);
    await reconcile();
    if (random.chance(0.5)) await forget();
  }

  const secretOf = (these: readonly string[]) => () => putSecret(chosen(stored, these));
  const [first] = names;

  type Weighted = readonly [number, string, () => Promise<void>];
  const ofAddresses: Weighted[] = [
    [
      5,
      'PATCH of the address',
      () => update('a caller', { configuration: { site: random.oneOf(allSites) } }),
    ],
    [4, 'another list', async () => world.allowSites(allSites.filter(() => random.chance(0.5)))],
  ];
  /** With the weight of each. */
  const operations: readonly Weighted[] = [
    [4, 'POST with own entries', () => provision('a caller', own())],
    [3, 'POST without', () => provision('the control plane', allowed())],
    [3, 'PATCH with own entries', () => update('a caller', { configuration: own() })],
    [4, 'PATCH with all entries', () => update('a caller', { configuration: chosen(callers, names) })],
    [1, 'PATCH of the name', () => update('a caller', { name: random.oneOf(['Shop', 'Store']) })],
    [
      1,
      'PATCH of allow-listed entries',
      () => update('a caller', { configuration: { 'pagination.max': 7, ...allowed() } }),
    ],
    ...(elementKey === addressed ? ofAddresses : []),
    [5, 'rotation', rotate],
    [2, 'secret with a key', secretOf([first])],
    [2, 'secret with all', secretOf(names)],
    [1, 'secret without the key', secretOf(names.slice(1))],
    [1, 'event', () => provision('an event', allowed(), origin())],
    [1, 'event with own entries', () => provision('an event', own(), origin())],
    [4, 'trust', trust],
    [2, 'import', importHandMade],
    [2, 'reconciler', reconcile],
    [1, 'removal', () => remove(random.chance(0.3) ? origin() : undefined)],
    [2, 'earlier version', forget],
  ];
  const passing: readonly Weighted[] = [
    [3, 'seconds', () => wait(random.between(1, 40) * 1_000)],
    [2, 'minutes', () => wait(random.between(1, 4) * 60_000)],
    [1, 'an hour', () => wait(61 * 60_000)],
  ];

  function drawn(from: readonly Weighted[]): Promise<void> {
    let left = random.between(
      1,
      from.reduce((sum, [weight]) => sum + weight, 0),
    );
    const operation = from.find(([weight]) => (left -= weight) <= 0);
    return operation?.[2]() ?? Promise.resolve();
  }

  // Each sequence uses a part of them: a few that repeat meet more of each other's states.
  const these = operations.filter(() => random.chance(0.75));

  return {
    key,
    claimAndWait,
    next: () => drawn([...these, ...passing]),
    /** Draws an operation during another one, which alone makes time pass. */
    between: () => drawn(these),
    trust,
    rotate,
    reconcile,
    wait,
    putSecret,
    first,
  };
}
