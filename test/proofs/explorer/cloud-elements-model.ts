import type { ElementInstance, ReadOutcome, Sought } from '../../../functions/core/ports.ts';
import type { Owned } from '../../../functions/model/markers.ts';

export type ModelInstance = {
  id: number;
  token: string;
  createdDate: string;
  elementKey: string;
  name: string;
  tags: readonly string[];
  configuration: Readonly<Record<string, unknown>>;
  isAlive: boolean;
  /** Lists may be behind; an instance is always found by its id. */
  isListed: boolean;
  /** Cloud Elements refuses to delete the instance. */
  isInUse: boolean;
};

/** The state of Cloud Elements at one origin. Changes are immediate; delays and losses are up to the caller. */
export function createCloudElementsModel({ origin, now }: { origin: string; now: () => number }) {
  const instances: ModelInstance[] = [];

  const find = (id: number | undefined) => instances.find((instance) => instance.id === id);

  function create(
    requested: { elementKey: string; name: string; tags: readonly string[]; configuration: object },
    { isListed }: { isListed: boolean },
  ): ModelInstance {
    const id = idOf(instances.length + 1);
    const { elementKey, name, tags, configuration } = requested;
    const createdDate = `${new Date(now()).toISOString().slice(0, 19)}Z`;
    const instance = {
      id,
      token: `token-${id}`,
      createdDate,
      elementKey,
      name,
      tags,
      configuration: { ...configuration },
      isAlive: true,
      isListed,
      isInUse: false,
    };
    instances.push(instance);
    return instance;
  }

  /** @returns whether the instance exists */
  function update(
    id: number,
    updates: { name?: string; tags?: readonly string[]; configuration?: object },
  ): boolean {
    const instance = find(id);
    if (!instance?.isAlive) return false;
    if (updates.name !== undefined) instance.name = updates.name;
    if (updates.tags) instance.tags = updates.tags;
    if (updates.configuration)
      instance.configuration = { ...instance.configuration, ...updates.configuration };
    return true;
  }

  function remove(id: number): void {
    const instance = find(id);
    if (instance) instance.isAlive = false;
  }

  /** The listed instances with the row's markers, and the one with the recorded id. */
  function list(sought: Sought) {
    return instances
      .filter(
        (instance) =>
          isOurs(instance, sought) &&
          instance.id !== sought.exceptId &&
          ((instance.isListed && instance.tags.includes(`provision:${sought.provisionId}`)) ||
            instance.id === sought.instanceId),
      )
      .map(({ id, token, createdDate }): ElementInstance => ({ id, token, createdDate }));
  }

  function read(owned: Owned & { instanceId: number }): ReadOutcome {
    const instance = find(owned.instanceId);
    if (!instance?.isAlive) return { kind: 'absent' };
    const { id: instanceId, elementKey, token, createdDate } = instance;
    const facts = { instanceId, elementKey, token, createdDate, valid: true, disabled: false };
    return { kind: 'read', owned: isOurs(instance, owned) ? 'ours' : 'not-ours', ...facts };
  }

  const living = () => instances.filter(({ isAlive }) => isAlive);

  const state = () =>
    instances
      .map(
        ({ createdDate, name, tags, configuration, isAlive, isListed, isInUse }) =>
          `${createdDate} ${name} ${tags.join()} ${JSON.stringify(configuration)} ${isAlive} ${isListed} ${isInUse}`,
      )
      .join('\n');

  return { origin, create, update, remove, list, read, find, living, instances, state };
}
export type CloudElementsModel = ReturnType<typeof createCloudElementsModel>;

/** Different for each, and not in the order of time. */
const idOf = (count: number): number => (count % 2 === 0 ? 500 - count : 500 + count);

const isOurs = ({ isAlive, elementKey, tags }: ModelInstance, owned: Owned): boolean =>
  isAlive &&
  elementKey === owned.elementKey &&
  tags.includes(`tenant:${owned.tenantId}`) &&
  tags.includes(`owner:${owned.owner}`);
