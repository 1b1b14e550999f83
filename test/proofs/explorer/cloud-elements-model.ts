import type {
  ElementInstance,
  ListedInstance,
  LookUp,
  ReadOutcome,
  Sought,
} from '../../../functions/core/ports.ts';
import {
  namesAnother,
  ownerTag,
  ownershipOf,
  provisionTag,
  type Owned,
} from '../../../functions/model/markers.ts';

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
  /** Of an instance that the tenant's team has made: its tags. */
  ownTags?: readonly string[] | undefined;
};

/** The state of Cloud Elements at one origin. Changes are immediate; delays and losses are up to the caller. */
export function createCloudElementsModel({ origin, now }: { origin: string; now: () => number }) {
  const instances: ModelInstance[] = [];

  const find = (id: number | undefined) => instances.find((instance) => instance.id === id);

  /** An instance that the tenant's team makes, without this service. */
  function handMake(): ModelInstance {
    const tags = ['by hand'];
    const made = create(
      { elementKey: 'taxify', name: 'By hand', tags, configuration: {} },
      { isListed: true },
    );
    made.ownTags = tags;
    return made;
  }

  function create(
    requested: { elementKey: string; name: string; tags: readonly string[]; configuration: object },
    { isListed }: { isListed: boolean },
  ): ModelInstance {
    const id = idOf(instances.length + 1);
    const { elementKey, name, tags, configuration } = requested;
    const createdDate = `${new Date(now()).toISOString().slice(0, 19)}Z`;
    const instance: ModelInstance = {
      id,
      token: `token-${id}`,
      createdDate,
      elementKey,
      name: withoutMarkup(name),
      tags: tags.map(withoutMarkup),
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
    if (updates.name !== undefined) instance.name = withoutMarkup(updates.name);
    if (updates.tags) instance.tags = updates.tags.map(withoutMarkup);
    if (updates.configuration)
      instance.configuration = { ...instance.configuration, ...updates.configuration };
    return true;
  }

  function remove(id: number): void {
    const instance = find(id);
    if (instance) instance.isAlive = false;
  }

  /** The instances that a list filtered by the generation's tag shows, and the recorded one, which is read by its id. */
  function lookUp(sought: Sought): LookUp {
    const found = living().filter(
      (instance) =>
        instance.id !== sought.exceptId &&
        ((instance.isListed && instance.tags.includes(provisionTag(sought))) ||
          (instance.id === sought.instanceId && ownershipOf(instance, sought) !== 'not-ours')),
    );
    const own = found.filter((instance) => !namesAnother(instance, sought));
    const odd = own.find((instance) => ownershipOf(instance, sought) !== 'ours');
    if (odd) return { kind: 'unknown', reason: `instance ${odd.id} does not show whose it is` };
    const matches = own.map(({ id, token, createdDate }): ElementInstance => ({ id, token, createdDate }));
    return { kind: 'found', instances: matches, isCertain: true };
  }

  /** All instances of a stage. */
  function list(owner: string | undefined): ListedInstance[] {
    return living()
      .filter(({ isListed, tags }) => isListed && (owner === undefined || tags.includes(ownerTag(owner))))
      .map(({ id, elementKey, name, tags, token, createdDate }) => ({
        id,
        elementKey,
        name,
        tags,
        token,
        createdDate,
        valid: true,
        disabled: false,
      }));
  }

  function read(owned: Owned & { instanceId: number }): ReadOutcome {
    const instance = find(owned.instanceId);
    if (!instance?.isAlive) return { kind: 'absent' };
    const { id: instanceId, elementKey, token, createdDate, name, tags } = instance;
    const facts = { instanceId, elementKey, token, createdDate, name, tags, valid: true, disabled: false };
    return { kind: 'read', owned: ownershipOf(instance, owned), ...facts };
  }

  const living = () => instances.filter(({ isAlive }) => isAlive);

  const state = () =>
    instances
      .map(
        ({ createdDate, name, tags, configuration, isAlive, isListed, isInUse }) =>
          `${createdDate} ${name} ${tags.join()} ${JSON.stringify(configuration)} ${isAlive} ${isListed} ${isInUse}`,
      )
      .join('\n');

  return { origin, create, handMake, update, remove, lookUp, list, read, find, living, instances, state };
}
export type CloudElementsModel = ReturnType<typeof createCloudElementsModel>;

/** Different for each, and not in the order of time. */
const idOf = (count: number): number => (count % 2 === 0 ? 500 - count : 500 + count);

const withoutMarkup = (text: string): string => text.replaceAll(/<[^>]*>/g, '');
