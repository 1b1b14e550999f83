import type {
  UpdateOutcome,
  CloudElements,
  CreateOutcome,
  LookUp,
  Failure,
  ReadOutcome,
  RemoveOutcome,
} from '../../../functions/core/ports.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import type { CloudElementsModel } from './cloud-elements-model.ts';
import type { Witness } from './witness.ts';
import type { Invocation, Way, World } from './world.ts';

/** A change or a removal without a response takes effect within this time, or never. */
const latestEffectMs = 60_000;

/** Longer than the slowest create should take, and yet before the recheck. */
const overdueMs = 30 * 60_000;

const unknown: Failure = { kind: 'unknown', reason: 'no answer' };
const tellUnknown = () => Promise.resolve(unknown);

const failures: [string, () => Failure][] = [
  ['refused', () => ({ kind: 'refused', error: new OnboardingError('refused-by-cloud-elements', 'No.') })],
  [
    'not sent',
    () => ({
      kind: 'not-done',
      error: new OnboardingError('cloud-elements-unreachable', 'Nobody there.'),
      retryAfterMs: 0,
    }),
  ],
  [
    'not now',
    () => ({
      kind: 'not-done',
      error: new OnboardingError('cloud-elements-busy', 'Not now.', { retryAfterMs: 60_000 }),
      retryAfterMs: 60_000,
    }),
  ],
];

/** Cloud Elements for one invocation. */
export function cloudElementsCallsOf(
  invocation: Invocation,
  {
    world,
    witness,
    model,
    latestCreateMs,
  }: { world: World; witness: Witness; model: CloudElementsModel; latestCreateMs: number },
): CloudElements {
  const later = (label: string, detail: string, withinMs: number, apply: () => void): void =>
    world.later({ label: `${invocation.name}: ${label}`, detail, withinMs, apply });

  return {
    create(requested, { timeoutMs }) {
      const { create, sent } = witness.createBegins(invocation, requested, timeoutMs);
      const answered = (outcome: CreateOutcome) => {
        create.isAnswered = true;
        return Promise.resolve(outcome);
      };
      const act = ({ isListed = true } = {}): CreateOutcome => {
        sent();
        const instance = model.create(requested, { isListed });
        const { id, token, createdDate } = instance;
        if (!isListed) {
          later(`instance ${id} is listed`, '', latestCreateMs, () => {
            instance.isListed = true;
          });
        }
        return { kind: 'created', instance: { id, token, createdDate } };
      };
      const actLater = (): void => {
        sent();
        create.isLate = true;
        later('create', `${requested.name} ${requested.tags.join()}`, latestCreateMs, () => {
          create.isLate = false;
          model.create(requested, { isListed: true });
        });
      };
      const overdue: Way<CreateOutcome> = {
        label: 'done later than supposed, no answer',
        cost: 'fault',
        tell: () => {
          later('create', `${requested.name} ${requested.tags.join()}`, overdueMs, () => {
            model.create(requested, { isListed: true });
          });
          return answered(unknown);
        },
      };
      const doneTwice: Way<CreateOutcome> = {
        label: 'done twice, no answer',
        cost: 'fault',
        tell: () => {
          act();
          act();
          return answered(unknown);
        },
      };
      return world.call<CreateOutcome>(invocation, {
        label: 'create',
        timeoutMs,
        ways: [
          { label: '', tell: () => answered(act()) },
          { label: 'listed late', cost: 'fault', tell: () => answered(act({ isListed: false })) },
          {
            label: 'done, no answer',
            cost: 'fault',
            tell: () => {
              act();
              return answered(unknown);
            },
          },
          {
            label: 'done later, no answer',
            cost: 'fault',
            tell: () => {
              actLater();
              return answered(unknown);
            },
          },
          { label: 'not done, no answer', cost: 'fault', tell: () => answered(unknown) },
          ...(world.doubts.doubleCreates ? [doneTwice] : []),
          ...(world.doubts.overdueCreates ? [overdue] : []),
          ...failures.map(([label, failure]) => ({
            label,
            cost: 'fault' as const,
            tell: () => answered(failure()),
          })),
        ],
        remains: [
          { label: 'not done', apply: () => {} },
          { label: 'done', apply: () => void act() },
          { label: 'done, listed late', apply: () => void act({ isListed: false }) },
          { label: 'to be done later', apply: actLater },
        ],
        timedOut: () => answered(unknown),
      });
    },

    update({ instanceId }, { name, tags, configuration }, { timeoutMs }) {
      const updates = {
        ...(name !== undefined && { name }),
        ...(tags && { tags }),
        ...(configuration && { configuration }),
      };
      const act = () => model.update(instanceId, updates);
      const actLater = () =>
        later(`change ${instanceId}`, JSON.stringify(updates), latestEffectMs, () => void act());
      return world.call<UpdateOutcome>(invocation, {
        label: `change ${instanceId}`,
        timeoutMs,
        ways: [
          { label: '', tell: () => Promise.resolve({ kind: act() ? 'updated' : 'absent' }) },
          {
            label: 'done, no answer',
            cost: 'fault',
            tell: () => {
              act();
              return tellUnknown();
            },
          },
          {
            label: 'done later, no answer',
            cost: 'fault',
            tell: () => {
              actLater();
              return tellUnknown();
            },
          },
          { label: 'not done, no answer', cost: 'fault', tell: tellUnknown },
          ...failures.map(([label, failure]) => ({
            label,
            cost: 'fault' as const,
            tell: () => Promise.resolve(failure()),
          })),
        ],
        remains: [
          { label: 'not done', apply: () => {} },
          { label: 'done', apply: () => void act() },
          { label: 'to be done later', apply: actLater },
        ],
        timedOut: tellUnknown,
      });
    },

    read(instance, { timeoutMs }) {
      return world.call<ReadOutcome>(invocation, {
        label: `read ${instance.instanceId}`,
        timeoutMs: Math.max(1, timeoutMs),
        ways: [
          { label: '', tell: () => Promise.resolve(model.read(instance)) },
          { label: 'fails', cost: 'fault', tell: notFound },
        ],
        remains: [],
        timedOut: notFound,
      });
    },

    lookUp(sought, { timeoutMs }) {
      return world.call<LookUp>(invocation, {
        label: 'look up',
        timeoutMs,
        ways: [
          {
            label: '',
            tell: () => Promise.resolve({ kind: 'found', instances: model.list(sought), isCertain: true }),
          },
          { label: 'fails', cost: 'fault', tell: notFound },
        ],
        remains: [],
        timedOut: notFound,
      });
    },

    /** Used only by the audit, which changes nothing. */
    list: () => Promise.resolve({ kind: 'unknown', reason: 'not part of this' }),

    remove({ instanceId: id }, { timeoutMs }) {
      const instanceId = Number(id);
      const isKept = () => model.find(instanceId)?.isInUse ?? false;
      const act = () => {
        if (isKept()) return;
        witness.removes(model.origin, instanceId);
        model.remove(instanceId);
      };
      const inUse: Way<RemoveOutcome> = {
        label: 'refused, it is in use',
        cost: 'fault',
        tell: () => {
          const instance = model.find(instanceId);
          if (instance) instance.isInUse = true;
          return tellInUse();
        },
      };
      const actLater = () => later(`remove ${instanceId}`, '', latestEffectMs, act);
      return world.call<RemoveOutcome>(invocation, {
        label: `remove ${instanceId}`,
        timeoutMs: Math.max(1, timeoutMs),
        ways: [
          {
            label: '',
            tell: () => {
              if (isKept()) return tellInUse();
              act();
              return Promise.resolve({ kind: 'removed' });
            },
          },
          ...(world.doubts.keptInstances ? [inUse] : []),
          {
            label: 'done, no answer',
            cost: 'fault',
            tell: () => {
              act();
              return tellUnknown();
            },
          },
          {
            label: 'done later, no answer',
            cost: 'fault',
            tell: () => {
              actLater();
              return tellUnknown();
            },
          },
          { label: 'not done, no answer', cost: 'fault', tell: tellUnknown },
        ],
        remains: [
          { label: 'not done', apply: () => {} },
          { label: 'done', apply: act },
          { label: 'to be done later', apply: actLater },
        ],
        timedOut: tellUnknown,
      });
    },
  };
}

const tellInUse = () =>
  Promise.resolve({
    kind: 'refused' as const,
    error: new OnboardingError('deletion-refused', 'It is in use.'),
  });
const notFound = () => Promise.resolve({ kind: 'unknown' as const, reason: 'no answer' });
