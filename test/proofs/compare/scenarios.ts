import { once } from 'node:events';
import { Worker } from 'node:worker_threads';
import { clientOptions } from '../../../functions/adapters/aws.ts';
import { queueVisibilityMs } from '../../../functions/model/timing.ts';
import type { Fault } from '../../../infra/local/cloud-elements/simulator.ts';
import { contenders } from './contenders.ts';
import type { Invocation } from './invocation.ts';
import { startSite } from './site.ts';

export type ContenderName = keyof typeof contenders;

export type Result = {
  /** The tenant's live instances at Cloud Elements. */
  instances: number;
  /** The instance whose token an application would get: right is that of the only instance. */
  token: string;
};

export const isRight = ({ instances, token }: Result): boolean => instances === 1 && token === 'right';

/** The actions of a scenario on a contender. Each scenario has a tenant of its own. */
type Stage = {
  /** One delivery, with any outcome. */
  request: () => Promise<void>;
  /** The next delivery of the same message, once it is visible again in the queue. */
  retry: () => Promise<void>;
  requestAtOnce: (times: number) => Promise<void>;
  /** A delivery whose invocation is ended as soon as its create has taken effect. */
  requestAndEnd: () => Promise<void>;
  passTime: (ms: number) => Promise<void>;
  /** The next creates take effect, with this fault in place of their response. */
  breakResponse: (outcome: Fault['outcome'], times?: number) => void;
  /** The first write of the next invocation succeeds; the second, after the create, fails with every retry. */
  failSecondWrite: () => void;
};

const monthMs = 30 * 24 * 60 * 60 * 1_000;

export type Scenario = { title: string; play: (stage: Stage) => Promise<void> };

export const scenarios: readonly Scenario[] = [
  {
    title: 'requested twice',
    play: async ({ request, retry }) => {
      await request();
      await retry();
    },
  },
  {
    title: 'requested ten times at once',
    play: ({ requestAtOnce }) => requestAtOnce(10),
  },
  {
    title: 'created, the response lost; retried',
    play: async ({ breakResponse, request, retry }) => {
      breakResponse({ kind: 'reset' });
      await request();
      await retry();
    },
  },
  {
    title: 'created, no response in time, twice; retried',
    play: async ({ breakResponse, request, retry }) => {
      breakResponse({ kind: 'stall' }, 2);
      await request();
      await retry();
      await retry();
    },
  },
  {
    title: 'created, then 502; delivered five times',
    play: async ({ breakResponse, request, retry }) => {
      breakResponse({ kind: 'status', status: 502, body: '<html>Bad gateway</html>' }, 5);
      await request();
      for (let deliveries = 1; deliveries < 5; deliveries++) await retry();
    },
  },
  {
    title: 'function ended after the create; retried',
    play: async ({ requestAndEnd, retry }) => {
      await requestAndEnd();
      await retry();
    },
  },
  {
    title: 'token not saved; retried',
    play: async ({ failSecondWrite, request, retry }) => {
      failSecondWrite();
      await request();
      await retry();
    },
  },
  {
    title: 'retried after a month, record expired',
    play: async ({ request, passTime }) => {
      await request();
      await passTime(monthMs);
      await request();
    },
  },
];

/** Servers of its own for one contender, on which scenarios are played one after the other. */
export async function openTheatre(name: ContenderName) {
  const contender = contenders[name];
  const servers = await startSite();
  const { site, simulator } = servers;
  await contender.prepare(site);
  const passTime = (ms: number) => contender.passTime(site, ms);

  return {
    async play(scenario: Scenario): Promise<Result> {
      const tenantId = `tenant-${scenarios.indexOf(scenario) + 1}`;
      await scenario.play(stageFor(tenantId));
      servers.reset();
      return resultOf(tenantId);
    },
    [Symbol.asyncDispose]: () => servers[Symbol.asyncDispose](),
  };

  function stageFor(tenantId: string): Stage {
    async function request(): Promise<void> {
      using environment = contender.open(site);
      // A failed delivery is normal for a queue, which will deliver the message again.
      await environment.onboard(tenantId).catch(() => {});
    }
    return {
      request,
      passTime,
      async retry() {
        // Longer than a function may run, so that every lock of an invocation has expired.
        await passTime(queueVisibilityMs);
        await request();
      },
      async requestAtOnce(times) {
        // So that no delivery ends before all have begun.
        simulator.latencyMs = 100;
        await Promise.all(Array.from({ length: times }, request));
      },
      async requestAndEnd() {
        const { promise: created, resolve } = Promise.withResolvers<void>();
        simulator.faultFor = ({ operation }) => {
          if (operation !== 'POST /instances') return undefined;
          resolve();
          return { effect: 'applied', outcome: { kind: 'stall' } };
        };
        const workerData: Invocation = { contender: name, site, tenantId };
        const worker = new Worker(new URL('invocation.ts', import.meta.url), { workerData });
        const reached = await Promise.race([
          created.then(() => true),
          once(worker, 'exit').then(() => false),
        ]);
        if (!reached) throw new Error('The invocation ended without a create.');
        await worker.terminate();
        simulator.reset();
      },
      breakResponse(outcome, times = 1) {
        simulator.fail({ on: 'POST /instances', effect: 'applied', outcome, times });
      },
      failSecondWrite() {
        const target = 'DynamoDB_20120810.PutItem';
        servers.failDynamoDb({ target, stallMs: 0 });
        servers.failDynamoDb({
          target,
          times: clientOptions.maxAttempts,
          status: 500,
          type: 'InternalServerError',
        });
      },
    };
  }

  async function resultOf(tenantId: string): Promise<Result> {
    using environment = contender.open(site);
    const token = await environment.storedToken(tenantId);
    const live = simulator.instances.filter(({ tags }) => tags.includes(`tenant:${tenantId}`));
    return { instances: live.length, token: describeToken(token, live) };
  }
}

function describeToken(token: string | undefined, live: readonly { token: string }[]): string {
  if (token === undefined) return 'none';
  if (!live.some((instance) => instance.token === token)) return "no instance's";
  return live.length === 1 ? 'right' : `one of ${live.length}`;
}
