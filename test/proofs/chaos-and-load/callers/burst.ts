import pMap from 'p-map';
import type { ReceivedResponse } from '../../../support/running-service.ts';
import { seededRandom } from '../../../support/seeded-random.ts';
import { count as tallied } from '../disturbances/faults.ts';
import type { Target } from '../target.ts';
import type { Phase } from './phase.ts';

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
export async function burst(target: Target, { count: requests, seed, runId, show }: Phase) {
  const startedAt = Date.now();
  const { service, oracle, periods } = target;
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
  const unexpected: string[] = [];
  let done = 0;
  let largestMs = 0;

  async function send(operation: Operation, tenantId: string): Promise<ReceivedResponse> {
    const path = `/tenants/${tenantId}/instances/taxify`;
    const apiKey = oracle.plant();
    switch (operation) {
      case 'POST new, small':
        return service.post(tenantId, { element: { key: 'taxify' }, configuration: { 'api.key': apiKey } });
      case 'POST at the limits':
        return service.post(tenantId, filled({ element: { key: 'taxify' }, ...longSettings('é') }, apiKey));
      case 'POST of an unknown element':
        return service.post(
          tenantId,
          filled({ element: { key: 'e'.repeat(64) }, ...longSettings('x') }, apiKey),
        );
      case 'GET list':
        return service.get(`/tenants/${tenantId}/instances`);
      case 'GET one':
        return service.get(path);
      case 'GET token':
        return service.get(`${path}/token`);
      case 'PATCH at the limits': {
        const body = filled(longSettings(random.oneOf(['a', 'ü', '漢'])), apiKey);
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

  async function sendAndCheck({ operation, tenantId }: (typeof plan)[number]): Promise<void> {
    const sentAt = Date.now();
    const response = await send(operation, tenantId);
    largestMs = Math.max(largestMs, Date.now() - sentAt);
    const kind = oracle.check(operation, response, { isToken: operation === 'GET token' });
    const expected: readonly number[] = operations[operation].statuses;
    // The oracle takes a gateway's 500 as documented where a function may die.
    const hasDied = kind === 'gateway' && response.status === 500;
    if (kind !== 'undocumented' && !hasDied && ![...expected, ...anywhere].includes(response.status)) {
      unexpected.push(`${operation}: ${response.status} ${response.text.slice(0, 200)}`);
    }
    tallied(tally, `${operation} ${response.status}`);
    done += 1;
    if (done % 20 === 0) show(`${done}/${requests} requests`);
  }

  await pMap(plan, sendAndCheck, { concurrency: 8 });
  const burstMs = Date.now() - startedAt;
  await oracle.waitForRest({
    limitMs: periods.restLimitMs,
    pauseMs: periods.pauseMs,
    show,
    async isQuiet() {
      await target.reconcile();
      return target.areQueuesEmpty();
    },
  });
  const { instanceOf, found } = await oracle.compare({
    isOurs: (tenantId) => tenantId.startsWith(`burst-${runId}-`),
  });
  return {
    requests,
    tenants: Math.ceil(requests / requestsPerTenant),
    burstMs,
    largestMs,
    tally,
    instances: instanceOf.size,
    found: {
      undocumented: [...oracle.takeUndocumented(), ...unexpected],
      // A burst without any success proves nothing.
      neverServed: Object.keys(operations).filter(
        (name) => !usuals.some((status) => tally.has(`${name} ${status}`)),
      ),
      ...found,
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
