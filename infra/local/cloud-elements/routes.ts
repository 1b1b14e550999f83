/** Methods and paths of the simulated platform. */

export const operations = [
  'POST /instances',
  'GET /instances',
  'GET /instances/{id}',
  'PUT /instances/{id}',
  'PATCH /instances/{id}',
  'DELETE /instances/{id}',
  'PUT /instances/{id}/enabled',
  'DELETE /instances/{id}/enabled',
  'GET /instances/{id}/configuration',
  'GET /instances/{id}/configuration/{configId}',
  'PATCH /instances/{id}/configuration/{configId}',
  // Without an id: these act on the instance that the Element part of the Authorization header names.
  'PUT /instances',
  'PATCH /instances',
  'DELETE /instances',
  'PUT /instances/enabled',
  'DELETE /instances/enabled',
  'GET /instances/configuration',
  'GET /instances/configuration/{configId}',
  'PATCH /instances/configuration/{configId}',
  'GET /elements',
  'GET /elements/{keyOrId}',
  'GET /elements/{keyOrId}/configuration',
  // The same instances under another path: the body needs no element.
  'POST /elements/{keyOrId}/instances',
  'GET /elements/{keyOrId}/instances',
  'GET /elements/{keyOrId}/instances/{id}',
  'PUT /elements/{keyOrId}/instances/{id}',
  'PATCH /elements/{keyOrId}/instances/{id}',
  'DELETE /elements/{keyOrId}/instances/{id}',
  'GET /organizations/me',
  // The element token names the instance; the hub in the path is ignored.
  'GET /ping',
  'GET /hubs/{hub}/ping',
] as const;

export type Operation = (typeof operations)[number];

/** The values in the path for `{id}` and the like; empty for parameters that the route does not have. */
export type PathParameters = Readonly<Record<'id' | 'configId' | 'keyOrId' | 'hub', string>>;

export const prefix = '/elements/api-v2';

const routes = operations.map((operation) => {
  const [method = '', path = ''] = operation.split(' ');
  const pattern = path
    .replaceAll(/\{(id|configId)\}/g, '(?<$1>\\d+)')
    .replaceAll(/\{(\w+)\}/g, '(?<$1>[^/]+)');
  // Not URLPattern, which Node 22 lacks.
  return { operation, method, pattern: new RegExp(`^${prefix}${pattern}$`) };
});

/** `path`: with the prefix, without the query. */
export function findRoute(
  method: string,
  path: string,
): { operation: Operation | undefined; parameters: PathParameters } {
  const route = routes.find((each) => each.method === method && each.pattern.test(path));
  const { id = '', configId = '', keyOrId = '', hub = '' } = route?.pattern.exec(path)?.groups ?? {};
  return { operation: route?.operation, parameters: { id, configId, keyOrId, hub } };
}

/** True if the path exists for any method. */
export function isKnownPath(path: string): boolean {
  return routes.some(({ pattern }) => pattern.test(path));
}
