import { jsonResponse, emptyResponse, refuse, type SimulatedResponse } from './responses.ts';
import { elements, findElement, type ElementDefinition } from './catalog.ts';
import { createEntries } from './entries.ts';
import { changeInstance, createInstances, refuseElement, type Listing } from './instances.ts';
import { pageResponse } from './pages.ts';
import type { Operation, PathParameters } from './routes.ts';
import { showElement, showElementEntries, showInstance, type Instance } from './shown.ts';

export const invalidSecrets = 'Invalid Organization or User secret, or invalid Element token provided.';

/** An authorized request to one of the operations. */
export type Call = {
  readonly body: unknown;
  readonly query: URLSearchParams;
  readonly userId: number;
  readonly parameters: PathParameters;
  readonly elementToken: string | undefined;
};

type Handler = (call: Call) => SimulatedResponse;

/** The operations on `instances`, which they change in place. `listing` is read again for each list. */
export function createOperations(options: {
  instances: Instance[];
  listing: Listing;
  now: () => number;
}): Record<Operation, Handler> {
  const { instances } = options;
  const { create, list, listOfElement, remove, ping } = createInstances(options);
  const entries = createEntries();

  /** Acts on the user's instance with the id in the path; without an id, on the one that the element token names. */
  function onInstance(act: (instance: Instance, call: Call) => SimulatedResponse): Handler {
    return (call) => {
      const { userId, elementToken, parameters } = call;
      const { id, keyOrId } = parameters;
      const own = instances.filter((instance) => instance.userId === userId);
      if (id === '') {
        const named = own.find(({ token }) => token === elementToken);
        return named ? act(named, call) : refuse(401, invalidSecrets);
      }
      const instance = own.find((each) => String(each.id) === id);
      const isThere = instance && (keyOrId === '' || instance.element === findElement(keyOrId));
      return isThere ? act(instance, call) : refuse(404, `No element instance found with ID ${id}`);
    };
  }

  /** Acts on the entry of the instance's configuration with the `configId` in the path. */
  function onEntry(act: (instance: Instance, key: string, call: Call) => SimulatedResponse): Handler {
    return onInstance((instance, call) => {
      const { configId } = call.parameters;
      const key = entries.keyOf(instance, configId);
      return key === undefined
        ? refuse(404, `No configuration found with ID ${configId}`)
        : act(instance, key, call);
    });
  }

  const read = onInstance((instance) => jsonResponse(showInstance(instance)));
  const replace = onInstance((instance, { body }) => changeInstance(instance, body, {}));
  const merge = onInstance((instance, { body }) => changeInstance(instance, body, instance.configuration));
  const enable = onInstance((instance) => setDisabled(instance, false));
  const disable = onInstance((instance) => setDisabled(instance, true));
  const listEntries = onInstance(entries.list);
  const readEntry = onEntry(entries.read);
  const changeEntry = onEntry((instance, key, { body }) => entries.change(instance, key, body));
  return {
    'POST /instances': create,
    'GET /instances': list,
    'GET /instances/{id}': read,
    'PUT /instances/{id}': replace,
    'PATCH /instances/{id}': merge,
    'DELETE /instances/{id}': onInstance(remove),
    'PUT /instances/{id}/enabled': enable,
    'DELETE /instances/{id}/enabled': disable,
    'GET /instances/{id}/configuration': listEntries,
    'GET /instances/{id}/configuration/{configId}': readEntry,
    'PATCH /instances/{id}/configuration/{configId}': changeEntry,
    'PUT /instances': replace,
    'PATCH /instances': merge,
    'DELETE /instances': onInstance(remove),
    'PUT /instances/enabled': enable,
    'DELETE /instances/enabled': disable,
    'GET /instances/configuration': listEntries,
    'GET /instances/configuration/{configId}': readEntry,
    'PATCH /instances/configuration/{configId}': changeEntry,
    'GET /elements': ({ query }) =>
      pageResponse({ items: elementsById, query, show: showElement, none: 'No elements found' }),
    'GET /elements/{keyOrId}': onElement((element) =>
      jsonResponse({ ...showElement(element), configuration: showElementEntries(element) }),
    ),
    'GET /elements/{keyOrId}/configuration': onElement((element) =>
      jsonResponse(showElementEntries(element)),
    ),
    'POST /elements/{keyOrId}/instances': onElement(({ key }, call) =>
      create({ ...call, body: withElement(call.body, key) }),
    ),
    'GET /elements/{keyOrId}/instances': onElement(listOfElement),
    'GET /elements/{keyOrId}/instances/{id}': read,
    'PUT /elements/{keyOrId}/instances/{id}': replace,
    'PATCH /elements/{keyOrId}/instances/{id}': merge,
    'DELETE /elements/{keyOrId}/instances/{id}': onInstance(remove),
    'GET /organizations/me': () => jsonResponse({ id: 1, name: 'Simulated organization', active: true }),
    'GET /ping': onInstance(ping),
    'GET /hubs/{hub}/ping': onInstance(ping),
  };
}

const elementsById = elements.toSorted((one, other) => one.id - other.id);

function onElement(act: (element: ElementDefinition, call: Call) => SimulatedResponse): Handler {
  return (call) => {
    const { keyOrId } = call.parameters;
    const element = findElement(keyOrId);
    return element ? act(element, call) : refuseElement(keyOrId);
  };
}

function setDisabled(instance: Instance, disabled: boolean): SimulatedResponse {
  instance.disabled = disabled;
  return emptyResponse();
}

/** Values that are not objects are refused later. */
function withElement(body: unknown, key: string): unknown {
  return typeof body === 'object' && body !== null ? { ...body, element: { key } } : body;
}
