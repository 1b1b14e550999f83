import type { DeployedStack } from '../../service/deployed/deployed-stack.ts';
import type { ReceivedResponse, Service } from '../../support/running-service.ts';
import { seededRandom } from '../../support/seeded-random.ts';
import { responseKindOf } from './responses.ts';
import { compare, waitForRest } from './audit.ts';
import { inParallel } from './in-parallel.ts';

const atOnce = 8;
const maxBodyBytes = 64 * 1024;

/** Requests of each tenant, which overlap. */
const requestsPerTenant = 20;

/** By operation, the statuses of the README's table; 429 is the gateway's. */
const operations = {
  'POST new, small': { weight: 3, statuses: [200, 201, 202, 409] },
  'POST at the limits': { weight: 3, statuses: [200, 201, 202, 409] },
  'POST of an unknown element': { weight: 1, statuses: [202, 400, 409] },
  'GET list': { weight: 2, statuses: [200] },
  'GET one': { weight: 3, statuses: [200, 404] },
  'GET token': { weight: 3, statuses: [200, 404, 409] },
  'PATCH at the limits': { weight: 3, statuses: [200, 404, 409] },
  DELETE: { weight: 2, statuses: [202, 204, 409] },
} as const;
type Operation = keyof typeof operations;
const isOperation = (name: string): name is Operation => Object.hasOwn(operations, name);
/** Statuses of successful requests: each operation has one of these. */
const usuals = [200, 201, 204, 400];
const anywhere = [429, 502, 503, 504];

export type BurstReport = Awaited<ReturnType<typeof burst>>;

/** Many HTTP calls at once, as large as they may be, over tenants that come, change and go. */
export async function burst(
  { stack, service }: { stack: DeployedStack; service: Service },
  {
    requests,
    seed,
    runId,
    plant,
    checkResponse,
    restLimitMs,
    show,
  }: {
    requests: number;
    seed: number;
    runId: string;
    plant: () => string;
    /** @param isToken it may hold the token */
    checkResponse: (response: ReceivedResponse, isToken: boolean) => void;
    restLimitMs: number;
    show: (progress: string) => void;
  },
) {
  const startedAt = Date.now();
  const random = seededRandom(seed);
  const drawFrom = Object.entries(operations).flatMap(([name, { weight }]) =>
    isOperation(name) ? Array.from({ length: weight }, () => name) : [],
  );
  const first: Operation = 'POST new, small';
  const plan = Array.from({ length: requests }, (_, index) => ({
    tenantId: `burst-${runId}-${Math.floor(index / requestsPerTenant)}-`.padEnd(64, 'x'),
    operation: random.oneOf([first, ...drawFrom]),
  }));
  // The requests of each tenant are spread over the burst.
  const tally = new Map<string, number>();
  const undocumented: string[] = [];
  let done = 0;
  let largestMs = 0;

  const post = (tenantId: string, body: string) => service.post(tenantId, body);
  async function send(operation: Operation, tenantId: string): Promise<ReceivedResponse> {
    const path = `/tenants/${tenantId}/instances/taxify`;
    switch (operation) {
      case 'POST new, small':
        return post(
          tenantId,
          JSON.stringify({ element: { key: 'taxify' }, configuration: { 'api.key': plant() } }),
        );
      case 'POST at the limits':
        return post(tenantId, filled({ element: { key: 'taxify' }, ...longSettings('é') }, plant()));
      case 'POST of an unknown element':
        return post(tenantId, filled({ element: { key: 'e'.repeat(64) }, ...longSettings('x') }, plant()));
      case 'GET list':
        return service.get(`/tenants/${tenantId}/instances`);
      case 'GET one':
        return service.get(path);
      case 'GET token':
        return service.get(`${path}/token`);
      case 'PATCH at the limits': {
        const body = filled(longSettings(random.oneOf(['a', 'ü', '漢'])), plant());
        return service.request({
          method: 'PATCH',
          path,
          body,
          headers: { 'content-type': 'application/json' },
        });
      }
      case 'DELETE':
        return service.delete(path);
    }
  }

  await inParallel(plan, atOnce, async ({ operation, tenantId }) => {
    const sentAt = Date.now();
    const response = await send(operation, tenantId);
    largestMs = Math.max(largestMs, Date.now() - sentAt);
    const responseKind = responseKindOf(response);
    const expected: readonly number[] = operations[operation].statuses;
    if (typeof responseKind === 'object') undocumented.push(`${operation}: ${responseKind.wrong}`);
    else if (![...expected, ...anywhere].includes(response.status)) {
      undocumented.push(`${operation}: ${response.status} ${response.text.slice(0, 200)}`);
    }
    checkResponse(response, operation === 'GET token');
    const counted = `${operation} ${response.status}`;
    tally.set(counted, (tally.get(counted) ?? 0) + 1);
    done += 1;
    if (done % 20 === 0) show(`${done}/${requests} requests`);
  });
  const burstMs = Date.now() - startedAt;
  await waitForRest(stack, { limitMs: restLimitMs, show });
  const { instances, duplicates, orphans, lost, stuck } = await compare(stack, (id) =>
    id.startsWith(`burst-${runId}-`),
  );
  return {
    requests,
    tenants: Math.ceil(requests / requestsPerTenant),
    burstMs,
    largestMs,
    tally,
    instances: instances.length,
    found: {
      undocumented,
      // A burst without any success proves nothing.
      neverServed: Object.keys(operations).filter(
        (name) => !usuals.some((status) => tally.has(`${name} ${status}`)),
      ),
      duplicates,
      orphans,
      lost,
      stuck,
    },
  };
}

/** The maximum of tags, each of maximum length, and a name of maximum length. */
const longSettings = (character: string) => ({
  name: character.repeat(255),
  tags: Array.from({ length: 20 }, (_, index) => `${index}`.padEnd(255, character)),
});

/** Adds a credential that gives the body exactly the maximum size. */
function filled(body: object, apiKey: string): string {
  const write = (filling: string) =>
    JSON.stringify({ ...body, configuration: { 'api.key': apiKey, filling } });
  return write('f'.repeat(maxBodyBytes - Buffer.byteLength(write(''))));
}
