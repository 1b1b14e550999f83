import type {
  UpdateOutcome,
  CloudElements,
  CreateOutcome,
  LookUp,
  Failure,
  ReadOutcome,
  RemoveOutcome,
} from '../../../functions/core/ports.ts';
import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { requiredKeys } from '../../../functions/model/catalog.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import type { CloudElementsModel } from './cloud-elements-model.ts';
import type { Witness } from './witness.ts';
import { fault, type Invocation, type Way, type World } from './world.ts';

/** A change or a removal without a response takes effect within this time, or never. */
const latestEffectMs = 60_000;

/** Longer than the slowest create should take, and yet before the recheck. */
const overdueMs = 30 * 60_000;

const unknown: Failure = { kind: 'unknown', reason: 'no answer' };
const tellUnknown = () => Promise.resolve(unknown);

const failures = <T>(tell: (failure: Failure) => Promise<T>): Way<T>[] => [
  fault('refused', () =>
    tell({ kind: 'refused', error: new OnboardingError('refused-by-cloud-elements', 'No.') }),
  ),
  fault('not sent', () => {
    const error = new OnboardingError('cloud-elements-unreachable', 'Nobody there.');
    return tell({ kind: 'not-done', error, retryAfterMs: 0 });
  }),
  fault('not now', () => {
    const error = new OnboardingError('cloud-elements-busy', 'Not now.', { retryAfterMs: 60_000 });
    return tell({ kind: 'not-done', error, retryAfterMs: 60_000 });
  }),
];

type Acts = { act: () => void; actLater: () => void };

/** Done at once, later or never, without an answer in each case. */
const withoutAnswer = <T>({ act, actLater }: Acts, tell: () => Promise<T>): Way<T>[] => [
  fault('done, no answer', () => {
    act();
    return tell();
  }),
  fault('done later, no answer', () => {
    actLater();
    return tell();
  }),
  fault('not done, no answer', tell),
];

/** A request that a crash leaves behind. */
const remainsOf = ({ act, actLater }: Acts) => [
  { label: 'not done', apply: () => {} },
  { label: 'done', apply: act },
  { label: 'to be done later', apply: actLater },
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
      const tell = () => answered(unknown);
      const overdue = fault('done later than supposed, no answer', () => {
        later('create', `${requested.name} ${requested.tags.join()}`, overdueMs, () => {
          model.create(requested, { isListed: true });
        });
        return tell();
      });
      const doneTwice = fault('done twice, no answer', () => {
        act();
        act();
        return tell();
      });
      const acts = { act: () => void act(), actLater };
      const { elementKey, configuration } = requested;
      if (requiredKeys(builtInCatalog, elementKey).some((key) => configuration[key] === undefined)) {
        const error = new OnboardingError('refused-by-cloud-elements', 'Something required is missing.');
        return world.call<CreateOutcome>(invocation, {
          label: 'create',
          timeoutMs,
          ways: [
            { label: '', tell: () => answered({ kind: 'refused', error }) },
            fault('not done, no answer', tell),
          ],
          remains: [],
          timedOut: tell,
        });
      }
      return world.call<CreateOutcome>(invocation, {
        label: 'create',
        timeoutMs,
        ways: [
          { label: '', tell: () => answered(act()) },
          fault('listed late', () => answered(act({ isListed: false }))),
          ...withoutAnswer(acts, tell),
          ...(world.doubts.doubleCreates ? [doneTwice] : []),
          ...(world.doubts.overdueCreates ? [overdue] : []),
          ...failures(answered),
        ],
        remains: [
          ...remainsOf(acts),
          { label: 'done, listed late', apply: () => void act({ isListed: false }) },
        ],
        timedOut: tell,
      });
    },

    update({ instanceId }, { name, tags, configuration }, { timeoutMs }) {
      const updates = {
        ...(name !== undefined && { name }),
        ...(tags && { tags }),
        ...(configuration && { configuration }),
      };
      const marking = witness.marks(invocation, { instance: model.find(instanceId), tags });
      const act = () => model.update(instanceId, updates);
      const acts = {
        act: () => void act(),
        actLater: () => {
          marking.isLate = true;
          later(`change ${instanceId}`, JSON.stringify(updates), latestEffectMs, () => {
            marking.isLate = false;
            act();
          });
        },
      };
      const answered = (outcome: UpdateOutcome): Promise<UpdateOutcome> => {
        marking.isAnswered = true;
        return Promise.resolve(outcome);
      };
      return world.call<UpdateOutcome>(invocation, {
        label: `change ${instanceId}`,
        timeoutMs,
        ways: [
          { label: '', tell: () => answered({ kind: act() ? 'updated' : 'absent' }) },
          ...withoutAnswer(acts, () => answered(unknown)),
          ...failures(answered),
        ],
        remains: remainsOf(acts),
        timedOut: () => answered(unknown),
      });
    },

    read(instance, { timeoutMs }) {
      return world.call<ReadOutcome>(invocation, {
        label: `read ${instance.instanceId}`,
        timeoutMs: Math.max(1, timeoutMs),
        ways: [{ label: '', tell: () => Promise.resolve(model.read(instance)) }, fault('fails', notFound)],
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
            tell: () => Promise.resolve(model.lookUp(sought)),
          },
          fault('fails', notFound),
        ],
        remains: [],
        timedOut: notFound,
      });
    },

    /** All on one page: the audit, which reads lists, is not explored. */
    list({ owner }, { timeoutMs }) {
      return world.call<Awaited<ReturnType<CloudElements['list']>>>(invocation, {
        label: 'list',
        timeoutMs,
        ways: [
          {
            label: '',
            tell: () =>
              Promise.resolve({ kind: 'listed', instances: model.list(owner), nextPage: undefined }),
          },
          fault('fails', notFound),
        ],
        remains: [],
        timedOut: notFound,
      });
    },

    remove({ instanceId: id }, { timeoutMs }) {
      const instanceId = Number(id);
      const isKept = () => model.find(instanceId)?.isInUse ?? false;
      const act = () => {
        if (isKept()) return;
        witness.removes(model.origin, instanceId);
        model.remove(instanceId);
      };
      const inUse = fault('refused, it is in use', () => {
        const instance = model.find(instanceId);
        if (instance) instance.isInUse = true;
        return tellInUse();
      });
      const acts = { act, actLater: () => later(`remove ${instanceId}`, '', latestEffectMs, act) };
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
          ...withoutAnswer(acts, tellUnknown),
        ],
        remains: remainsOf(acts),
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
