import type {
  ImportedIds,
  InstanceStore,
  ReadTenantSecret,
  TokenCipher,
  Write,
} from '../../../functions/core/ports.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import type { InstanceKey, InstanceRow } from '../../../functions/model/instance.ts';
import { sealed, textOf, type Witness } from './witness.ts';
import { fault, type Invocation, type World } from './world.ts';

/** The secret of all tenants. `isChanged`: it gets new values, so the time of a read matters. `isRefused`: by Cloud Elements. */
export type Secret = { key: string | undefined; isChanged: boolean; isRefused: boolean };

/** Three attempts of 1.5 s each. */
const timeoutMs = 4_500;

/** An abandoned write takes effect within this time, or never. */
const latestWriteMs = 5_000;

const unavailable = (): Promise<never> =>
  Promise.reject(new OnboardingError('aws-unavailable', 'Failed; whether it took effect is not known.'));

/** Store, cipher and secrets for one invocation. */
export function awsCallsOf(
  invocation: Invocation,
  {
    world,
    witness,
    store,
    importedIds,
    find,
    rows,
    secret,
  }: {
    world: World;
    secret: Secret;
    witness: Witness;
    store: InstanceStore;
    importedIds: ImportedIds;
    rows: () => InstanceRow[];
    find: (key: InstanceKey) => InstanceRow | undefined;
  },
): {
  store: InstanceStore;
  importedIds: ImportedIds;
  cipher: TokenCipher;
  readTenantSecret: ReadTenantSecret;
} {
  function write(
    label: string,
    { key, detail, apply }: { key: InstanceKey; detail: object; apply: () => Promise<Write> },
  ): Promise<Write> {
    const act = () => {
      const before = find(key);
      const written = apply();
      witness.rowChanged(key, before, find(key), invocation);
      return written;
    };
    const actUnheard = () => void act();
    const actLater = () =>
      world.later({
        label: `${invocation.name}: ${label}`,
        detail: JSON.stringify(detail),
        withinMs: latestWriteMs,
        apply: actUnheard,
      });
    const failsAndIsDoneLater = fault('fails, and is done later', () => {
      actLater();
      return unavailable();
    });
    // The SDK sent it twice, and the slow first request takes effect after the response to the second.
    const answeredAndDoneAgain = fault('done, and once more later', () => {
      const written = act();
      actLater();
      return written;
    });
    return world.call<Write>(invocation, {
      label,
      timeoutMs,
      ways: [
        { label: '', tell: act },
        { label: 'answer lost, sent again', cost: 'fault', again: actUnheard },
        fault('fails, though done', () => {
          actUnheard();
          return unavailable();
        }),
        fault('fails', unavailable),
        ...(world.doubts.lateWrites ? [failsAndIsDoneLater] : []),
        ...(world.doubts.lateDuplicates ? [answeredAndDoneAgain] : []),
      ],
      remains: [
        { label: 'not done', apply: () => {} },
        { label: 'done', apply: actUnheard },
        ...(world.doubts.lateWrites ? [{ label: 'to be done later', apply: actLater }] : []),
      ],
      timedOut: unavailable,
    });
  }

  /** A write of an item that is no row. */
  function writeItem<T>(label: string, detail: object, act: () => Promise<T>): Promise<T> {
    const actUnheard = () => void act();
    const actLater = () =>
      world.later({
        label: `${invocation.name}: ${label}`,
        detail: JSON.stringify(detail),
        withinMs: latestWriteMs,
        apply: actUnheard,
      });
    return world.call<T>(invocation, {
      label,
      timeoutMs,
      ways: [
        { label: '', tell: act },
        fault('fails, though done', () => {
          actUnheard();
          return unavailable();
        }),
        fault('fails', unavailable),
      ],
      remains: [
        { label: 'not done', apply: () => {} },
        { label: 'done', apply: actUnheard },
        ...(world.doubts.lateWrites ? [{ label: 'to be done later', apply: actLater }] : []),
      ],
      timedOut: unavailable,
    });
  }

  const read = <T>(label: string, tell: () => Promise<T>, { isLocal = false } = {}): Promise<T> =>
    world.call<T>(invocation, {
      label,
      timeoutMs,
      ways: [{ label: '', tell }, fault('fails', unavailable)],
      remains: [],
      timedOut: unavailable,
      isLocal,
    });

  return {
    store: {
      claim: (next, asRead) =>
        write(`${asRead ? 'write' : 'insert'} ${phaseOf(next)}`, {
          key: next,
          detail: asRead ? [next, { ...fenceOf(asRead), leaseExpiresAt: asRead.leaseExpiresAt }] : next,
          apply: () => store.claim(next, asRead),
        }),
      write: (next, held) =>
        write(`write ${phaseOf(next)}`, {
          key: next,
          detail: [next, fenceOf(held)],
          apply: () => store.write(next, held),
        }),
      remove: (held) =>
        write('remove the row', { key: held, detail: fenceOf(held), apply: () => store.remove(held) }),
      get: (key) => read('get', () => store.get(key)),
      getSummary: (key) => read('get summary', () => store.getSummary(key)),
      list: (tenantId) => read('list', () => store.list(tenantId)),
      // With a single row this is enough, because the row is read again before any action.
      due: (nowMs, limit) => read('due rows', () => store.due(nowMs, limit), { isLocal: rows().length <= 1 }),
      postpone: (due, checkAt) => store.postpone(due, checkAt),
      all: () => store.all(),
    },

    importedIds: {
      hold: (id, holder, instead) =>
        writeItem(`reserve ${id}`, { holder, instead }, () => importedIds.hold(id, holder, instead)),
      giveBack: (id, holder) => writeItem(`give ${id} back`, holder, () => importedIds.giveBack(id, holder)),
      recordedBy: (id) => read(`rows of ${id}`, () => importedIds.recordedBy(id)),
    },

    cipher: {
      encrypt: (token) =>
        read('encrypt', () => Promise.resolve(Uint8Array.from(Buffer.from(sealed(token)))), {
          isLocal: true,
        }),
      decrypt: (ciphertext) => read('decrypt', () => Promise.resolve(textOf(ciphertext)), { isLocal: true }),
    },

    readTenantSecret: () =>
      world.call<Awaited<ReturnType<ReadTenantSecret>>>(invocation, {
        label: 'read the secret',
        timeoutMs,
        ways: [
          {
            label: '',
            tell: () =>
              Promise.resolve({
                name: 'secret',
                configuration: secret.key === undefined ? undefined : { 'api.key': secret.key },
              }),
          },
          fault('fails', unavailable),
          fault('it lacks the key', () => Promise.resolve({ name: 'secret', configuration: undefined })),
        ],
        remains: [],
        timedOut: unavailable,
        isLocal: !secret.isChanged,
      }),
  };
}

const phaseOf = ({ status, leaseExpiresAt }: InstanceRow): string =>
  leaseExpiresAt > 0 ? `${status}, leased` : status;

const fenceOf = ({ status, provisionId, claimId }: InstanceRow) => ({ status, provisionId, claimId });
