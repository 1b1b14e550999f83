import { builtInCatalog } from '../../../functions/model/built-in-catalog.ts';
import { createApplying } from '../../../functions/core/apply-secret.ts';
import { createChecking } from '../../../functions/core/check.ts';
import { createUpdating } from '../../../functions/core/update.ts';
import { createImporting } from '../../../functions/core/import.ts';
import type { ImportedIds, Ports } from '../../../functions/core/ports.ts';
import { OnboardingError } from '../../../functions/model/errors.ts';
import { offboardingFromEvent, settingsFromEvent } from '../../../functions/model/events.ts';
import { tenantSecretName } from '../../../functions/model/configuration.ts';
import {
  settingsOf,
  type Configuration,
  type InstanceKey,
  type InstanceRow,
} from '../../../functions/model/instance.ts';
import { createOffboarding } from '../../../functions/core/offboard.ts';
import { createOnboarding } from '../../../functions/core/onboard.ts';
import { createProvisioning } from '../../../functions/core/provision.ts';
import { createReconciling } from '../../../functions/core/reconcile.ts';
import { createRemoving } from '../../../functions/core/remove.ts';
import { defaultTiming, functionTimeoutMs, type Timing } from '../../../functions/model/timing.ts';
import { awsCallsOf, type Secret } from './aws-calls.ts';
import { cloudElementsCallsOf } from './cloud-elements-calls.ts';
import { createCloudElementsModel, type CloudElementsModel } from './cloud-elements-model.ts';
import { createInMemoryStore } from './in-memory-store.ts';
import { messageOf, redriven, type Message, type SentEvent } from './messages.ts';
import type { Requested, Told } from './removal-witness.ts';
import { createWitness } from './witness.ts';
import type { Invocation, World } from './world.ts';

/** The task of one invocation. */
export type Task = {
  tenantId?: string;
  elementKey?: string;
  /** By a stack that calls another Cloud Elements. */
  isElsewhere?: boolean;
  /** The earliest time: seconds since the beginning. */
  fromS?: number;
} & (
  | { do: 'provision'; name?: string | undefined; configuration?: Configuration }
  /** The tenant's team makes an instance by hand: 501, 498, 503 and so on. */
  | { do: 'hand-make' }
  | { do: 'import'; id: number }
  /** The control plane puts another value into the tenant's secret. */
  | { do: 'put-secret'; key: string }
  /** The event of the oldest value whose message has not been done with; perhaps for the second time. */
  | { do: 'apply-secret' }
  | { do: 'remove' }
  /** Through the queue. `isRedriven`: from the dead letters, by an operator. */
  | { do: 'deliver'; event: SentEvent; isRedriven?: boolean }
  | { do: 'update'; name: string }
  | { do: 'reconcile' }
  /** The instance is checked; the vendor refuses its key. */
  | { do: 'check' }
);

/** The periods in the code, and the real duration of creates. */
export type Periods = Partial<Timing> & { slowestCreateMs?: number };

/** Assumed for Cloud Elements: a create takes effect within this time, or never. */
const assumedSlowestCreateMs = 120_000;

const stage = 'test';
const origin = 'https://cloud-elements.test';
const elsewhere = 'https://another.test';

/** The outside world in its first state, and the use cases that act on it. */
export function createOutside(
  world: World,
  { periods, isMemorable, secret }: { periods?: Periods | undefined; isMemorable: boolean; secret: Secret },
) {
  const { slowestCreateMs: latestCreateMs = assumedSlowestCreateMs, ...counted } = periods ?? {};
  const timing: Timing = { ...defaultTiming, ...counted };
  const { store, importedIds, holders, rows, find, forget } = createInMemoryStore();
  const models = new Map<string, CloudElementsModel>();
  const witness = createWitness({ world, modelAt, rows, find, isMemorable, secret });
  /** Messages about the secret that will be redelivered. */
  const updates: { key: string; arrivedAt: number }[] = [];
  /** Messages that will be redelivered. */
  const open = new Map<string, Task>();

  function modelAt(at: string): CloudElementsModel {
    const model = models.get(at) ?? createCloudElementsModel({ origin: at, now: world.now });
    models.set(at, model);
    return model;
  }

  /** Starts the task; the invocation is over when it has returned, or died. */
  function perform(invocation: Invocation, task: Task): void {
    const message = task.do === 'deliver' ? receive(task) : undefined;
    const [update] = updates;
    const requested = requestedBy(task, message, world.now() + invocation.aheadMs);
    witness.begins(invocation, requested);
    const run = message ? deliver(invocation, task, message) : runTask(invocation, task, requested);
    run
      .catch((error: unknown): { told: Told } => {
        if (!(error instanceof OnboardingError)) {
          witness.report(`${invocation.name} throws ${error instanceof Error ? error.stack : 'something'}`);
          return { told: { code: 'thrown', isRetryable: false } };
        }
        return { told: { code: error.code, isRetryable: error.retryable } };
      })
      .then(({ told, row }: Ended) => {
        world.note(`${invocation.name} returns: ${'code' in told ? told.code : told.outcome}`);
        if (task.do === 'apply-secret' && 'code' in told && !told.isRetryable) secret.isRefused = true;
        // Another delivery of the same message may have ended before.
        if (task.do === 'apply-secret' && update && isAppliedBy(told) && updates.includes(update))
          updates.splice(updates.indexOf(update), 1);
        const isDone = 'code' in told ? !told.isRetryable : told.outcome !== 'in-progress';
        if (message && isDone) open.delete(message.event.id);
        witness.ends(invocation, told, row);
        world.end(invocation);
        return undefined;
      })
      .catch((error: unknown) => witness.report(String(error)));
  }

  /** The message as delivered; undefined if it is too old to be put back from the dead letters. */
  function receive(task: Task & { do: 'deliver' }): Message | undefined {
    const message = messageOf(task.event);
    const received = task.isRedriven ? redriven(message, world.now()) : message;
    if (!received) witness.isLeft(message);
    if (received) open.set(task.event.id, task);
    else open.delete(task.event.id);
    return received;
  }

  async function deliver(
    invocation: Invocation,
    task: Task,
    { event, body, arrivedAt }: Message,
  ): Promise<Ended> {
    const { deadlineAt, ports } = portsOf(invocation, task);
    if (event.requestsFor === 'offboarding') {
      const offboarding = offboardingFromEvent(body, arrivedAt);
      const outcome = await createOffboarding(ports).offboard(offboarding, { deadlineAt });
      return { told: { outcome } };
    }
    let row: InstanceRow | undefined;
    const provision = createProvisioning(ports);
    const onboard = createOnboarding({
      ...ports,
      provision: async (settings, options) => {
        const provisioned = await provision(settings, options);
        ({ row } = provisioned);
        return provisioned;
      },
    });
    const { outcome } = await onboard(settingsFromEvent(body, arrivedAt), { deadlineAt, deliveries: 1 });
    return { told: { outcome }, row };
  }

  async function runTask(invocation: Invocation, task: Task, requested: Requested): Promise<Ended> {
    const { deadlineAt, ports } = portsOf(invocation, task);
    const key = keyOf(task);
    switch (task.do) {
      case 'provision': {
        const { name = 'Shop', configuration } = task;
        const settings = settingsOf(key, { name, configuration });
        const { outcome, row } = await createProvisioning(ports)(settings, {
          deadlineAt,
          recordRefusal: false,
        });
        return { told: { outcome }, row };
      }
      case 'hand-make': {
        const { id } = modelAt(origin).handMake();
        return { told: { outcome: `made ${id}` } };
      }
      case 'import': {
        const { importInstance } = createImporting(ports);
        const { outcome, row } = await importInstance({ ...key, instanceId: task.id }, { deadlineAt });
        return { told: { outcome }, row };
      }
      case 'remove': {
        const removal = { times: { own: requested.beganAt }, by: undefined };
        const { outcome } = await createRemoving(ports).remove(key, removal, { deadlineAt });
        return { told: { outcome } };
      }
      case 'put-secret': {
        secret.key = task.key;
        secret.isRefused = false;
        updates.push({ key: task.key, arrivedAt: world.now() + 200 });
        return { told: { outcome: 'put' } };
      }
      case 'apply-secret': {
        const { arrivedAt = world.now() } = updates[0] ?? {};
        const apply = createApplying({
          ...ports,
          update: createUpdating(ports),
          provision: createProvisioning(ports),
          tenantSecretsPrefix: 'test',
        });
        const secretName = tenantSecretName('test', key);
        const { outcome } = await apply({ ...key, secretName, arrivedAt }, { deadlineAt, deliveries: 1 });
        return { told: { outcome } };
      }
      case 'update': {
        const { name } = task;
        const changed = await createUpdating(ports)(key, { name, tags: [name] }, { deadlineAt });
        return { told: { outcome: `changed to ${changed.name}` } };
      }
      case 'check': {
        const { timing: _, ...others } = ports;
        const { finding } = await createChecking({
          ...others,
          store: { ...ports.store, dueChecks: (query) => store.dueChecks(query) },
          ping: () => Promise.resolve({ status: 'unhealthy', reason: 'refused-by-vendor' }),
        }).check(key, { deadlineAt });
        return { told: { outcome: `found ${finding.status}` } };
      }
      case 'reconcile': {
        const { tally } = await createReconciling(ports).reconcile({ deadlineAt });
        return { told: { outcome: JSON.stringify(tally) } };
      }
      case 'deliver':
        return { told: { outcome: 'left with the dead letters' } };
    }
  }

  function portsOf(invocation: Invocation, { isElsewhere = false }: Task) {
    let ids = 0;
    const model = modelAt(isElsewhere ? elsewhere : origin);
    const ports = {
      ...awsCallsOf(invocation, { world, witness, store, importedIds, find, rows, secret }),
      cloudElements: cloudElementsCallsOf(invocation, { world, witness, model, latestCreateMs }),
      catalog: builtInCatalog,
      origin: model.origin,
      stage,
      observe: () => {},
      timing,
      now: () => world.now() + invocation.aheadMs,
      sleep: (delayMs: number) => world.sleep(invocation, delayMs),
      newId: () => `${invocation.name}.${++ids}`,
    } satisfies Ports & { importedIds: ImportedIds };
    return { ports, deadlineAt: invocation.endsAt + invocation.aheadMs };
  }

  /** Allows Cloud Elements to delete every instance again. */
  function letGo(): void {
    for (const { instances } of models.values()) for (const instance of instances) instance.isInUse = false;
  }

  function expire(row: InstanceRow): void {
    world.note(`DynamoDB forgets the row of ${row.tenantId}/${row.elementKey}`);
    witness.forgets(row);
    forget(row);
  }

  const state = () =>
    [
      ...[...models.values()].map((model) => model.state()),
      JSON.stringify(rows()),
      JSON.stringify([...holders]),
      witness.state(),
      [...open.keys()].join(),
      JSON.stringify([secret.key, updates]),
    ].join('\n');

  /** Whether a stack with another Cloud Elements has run, or whether the given origin is that one. */
  const isElsewhere = (at?: string): boolean => (at === undefined ? models.has(elsewhere) : at === elsewhere);
  const undelivered = (): Task[] => [...open.values(), ...updates.map((): Task => ({ do: 'apply-secret' }))];

  return { perform, witness, rows, timing, state, letGo, expire, isElsewhere, undelivered };
}
export type Outside = ReturnType<typeof createOutside>;

/** `row`: the row behind the response, if any. */
type Ended = { told: Told; row?: InstanceRow | undefined };

function keyOf({ tenantId = 'acme', elementKey = 'taxify' }: Task): InstanceKey {
  return { tenantId, elementKey };
}

function requestedBy(task: Task, message: Message | undefined, beganAt: number): Requested {
  if (!message) {
    return { ...keyOf(task), kind: kindOf(task), message, beganAt };
  }
  const { requestsFor, tenantId = 'acme', elementKey } = message.event;
  const isRemoval = requestsFor === 'offboarding';
  return {
    kind: isRemoval ? 'remove' : 'provision',
    tenantId,
    elementKey: elementKey ?? (isRemoval ? undefined : 'taxify'),
    message,
    beganAt,
  };
}

function kindOf({ do: what }: Task): Requested['kind'] {
  switch (what) {
    case 'provision':
    case 'import':
    case 'remove':
    case 'reconcile':
      return what;
    case 'update':
    case 'deliver':
    case 'put-secret':
    case 'apply-secret':
    case 'check':
    case 'hand-make':
      return 'update';
  }
}

/** Whether the message about the secret is acknowledged. */
const isAppliedBy = (told: Told): boolean =>
  'code' in told
    ? !told.isRetryable
    : !['in-doubt', 'in-progress', 'waiting-for-secret'].includes(told.outcome);

/** Whether the task may remove an instance. */
export const isRemoval = (task: Task): boolean =>
  task.do === 'remove' || (task.do === 'deliver' && task.event.requestsFor === 'offboarding');

/** As deployed. */
export const lastsMs = functionTimeoutMs;
