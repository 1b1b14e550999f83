import { createChanging } from '../../functions/core/change.ts';
import { OnboardingError } from '../../functions/core/errors.ts';
import { settingsOf, type EventOrigin } from '../../functions/core/instance.ts';
import { createProvisioning } from '../../functions/core/provision.ts';
import { createReconciling } from '../../functions/core/reconcile.ts';
import { createRemoving } from '../../functions/core/remove.ts';
import {
  defaultTiming,
  functionTimeoutMs,
  slowestCreateMs,
  type Timing,
} from '../../functions/core/timing.ts';
import { awsCallsOf } from './aws-calls.ts';
import { cloudElementsCallsOf } from './cloud-elements-calls.ts';
import { createCloudElementsModel } from './cloud-elements-model.ts';
import { createInMemoryStore } from './in-memory-store.ts';
import { createWitness, type Asked } from './witness.ts';
import { beginning, type Invocation, type World } from './world.ts';

/** What one invocation is to do. `event`: it came by queue, and was sent so many seconds after the beginning. */
export type Task = { tenantId?: string } & (
  | { do: 'provision' | 'remove'; name?: string; event?: Event }
  | { do: 'change'; name: string }
  | { do: 'reconcile' }
);
type Event = { id: string; sentAtS: number };

/** What the code counts with, and how long creates really take. */
export type Periods = Partial<Timing> & { slowestCreateMs?: number };

const origin = 'https://cloud-elements.test';
const stage = 'test';

/** The outside world in its first state, and the use cases to set upon it. */
export function createOutside(world: World, { periods }: { periods?: Periods | undefined }) {
  const { slowestCreateMs: latestCreateMs = slowestCreateMs, ...counted } = periods ?? {};
  const timing: Timing = { ...defaultTiming, ...counted };
  const { store, rows, find } = createInMemoryStore();
  const model = createCloudElementsModel({ now: world.now });
  const witness = createWitness({ world, model, rows, find });

  /** Starts it; the invocation is over when it has returned, or died. */
  function perform(invocation: Invocation, task: Task): void {
    const key = { tenantId: task.tenantId ?? 'acme', elementKey: 'taxify' };
    const askedBy = 'event' in task && task.event ? originOf(task.event) : undefined;
    const localNow = () => world.now() + invocation.aheadMs;
    const asked: Asked = { kind: task.do, key, askedBy, askedAt: askedBy?.sentAt ?? localNow() };
    witness.begins(invocation, asked);
    run(invocation, task, asked)
      .catch((error: unknown) => {
        if (error instanceof OnboardingError) return error.code;
        witness.report(`${invocation.name} throws ${error instanceof Error ? error.stack : 'something'}`);
        return 'thrown';
      })
      .then((told) => {
        world.note(`${invocation.name} returns: ${told}`);
        witness.ends(invocation);
        world.end(invocation);
        return undefined;
      })
      .catch((error: unknown) => witness.report(String(error)));
  }

  async function run(invocation: Invocation, task: Task, asked: Asked): Promise<string> {
    const { key, askedAt, askedBy } = asked;
    let ids = 0;
    const now = () => world.now() + invocation.aheadMs;
    const deadlineAt = invocation.endsAt + invocation.aheadMs;
    const collaborators = {
      ...awsCallsOf(invocation, { world, witness, store, find, rows }),
      cloudElements: cloudElementsCallsOf(invocation, { world, witness, model, latestCreateMs }),
      origin,
      stage,
      observe: () => {},
      timing,
      now,
      sleep: (delayMs: number) => world.sleep(invocation, delayMs),
      newId: () => `${invocation.name}.${++ids}`,
    };
    switch (task.do) {
      case 'provision': {
        const settings = settingsOf(
          key,
          { name: task.name ?? 'Shop', configuration: askedBy ? {} : { 'api.key': 'k' } },
          askedBy,
        );
        const provisioned = await createProvisioning(collaborators)(settings, {
          deadlineAt,
          recordRefusal: askedBy !== undefined,
        });
        witness.provisioned(asked, provisioned);
        return provisioned.outcome;
      }
      case 'remove': {
        const removal = { times: askedBy ? { event: askedAt } : { own: askedAt }, by: askedBy };
        const removed = await createRemoving(collaborators).remove(key, removal, { deadlineAt });
        witness.removed(asked, removed);
        return removed.outcome;
      }
      case 'change': {
        const changed = await createChanging(collaborators)(
          key,
          { name: task.name, tags: [task.name] },
          { deadlineAt },
        );
        return `changed to ${changed.name}`;
      }
      case 'reconcile':
        return JSON.stringify((await createReconciling(collaborators).reconcile({ deadlineAt })).tally);
    }
  }

  const state = () => [model.state(), JSON.stringify(rows()), witness.state()].join('\n');

  return { perform, witness, rows, timing, state };
}
export type Outside = ReturnType<typeof createOutside>;

function originOf({ id, sentAtS }: Event): EventOrigin {
  return { dialect: 'native', eventId: id, sentAt: beginning + sentAtS * 1_000 };
}

/** As deployed. */
export const lastsMs = functionTimeoutMs;
