import { PutItemCommand } from '@aws-sdk/client-dynamodb';
import { marshall } from '@aws-sdk/util-dynamodb';
import type { InjectedFault, Operation } from '../../../infra/local/cloud-elements/simulator.ts';
import type { ReceivedResponse, Service } from '../../support/running-service.ts';
import { toStored } from '../../../functions/model/table.ts';
import { notApplied } from '../../support/faults.ts';

type Path = { tenantId: string; elementKey: string; status?: string };
type Body = object | string | Buffer;

/** Sends a request to an operation, with the path parameters that it has. */
export type SendRequest = (
  operationId: string,
  path: Path,
  content?: { body?: Body; contentType?: string },
) => Promise<ReceivedResponse>;

const settings = { element: { key: 'taxify' }, configuration: { 'api.key': 'any' } };
const another = { ...settings, name: 'Another' };
const withoutKey = { element: { key: 'taxify' } };
const changes = { name: 'Changed' };
const secretAnew = { configuration: {} };
const fromTheSecret = { source: 'secret', requestEntries: [] };

const fromAProxy = notApplied(403, { body: '<html>' });
const withoutUsableToken = notApplied(200, { body: { id: 7, token: 'not for a header, surely' } });
const reset = notApplied({ kind: 'reset' });
const patience = notApplied(429, { headers: { 'retry-after': '3600' } });

const leased = () => ({ leaseExpiresAt: Date.now() + 60_000 });
const handMade = { ...settings, name: 'By hand', tags: ['eu'] };

const elsewhere = { origin: 'https://elsewhere.example' };

let count = 0;
const nobody = (): Path => ({ tenantId: `situation-${++count}`, elementKey: 'taxify' });

/** Brings a service into situations that give each of its responses. */
export function createSituations(service: Service, request: SendRequest) {
  const post = (path: Path, body: Body = settings) => request('provisionInstance', path, { body });
  const check = (path: Path) => request('checkInstance', path);
  const importAs = (path: Path, id: number) => request('importInstance', path, { body: { id } });
  const patch = (path: Path, body: Body = changes) => request('changeInstance', path, { body });

  return {
    meetEveryRoutes,
    meetReaders,
    meetProvisioning,
    meetImporting,
    meetUpdating,
    meetRemoving,
    meetChecking,
    meetBrokenCredentials,
    meetUnreachableWhenProvisioning,
    meetShortage,
  };

  /** A tenant with an active instance, whose row is then changed; `undefined` removes an attribute. */
  async function somebody(row: Record<string, unknown> = {}): Promise<Path> {
    const path = nobody();
    await post(path);
    if (Object.keys(row).length > 0) await service.changeRow(path, row);
    return path;
  }

  async function failing(
    on: Operation,
    injectedFault: InjectedFault,
    act: () => Promise<unknown>,
    times = 1,
  ): Promise<void> {
    service.simulator.fail({ on, ...injectedFault, times });
    await act();
  }

  async function failingAws(targets: RegExp, act: () => Promise<unknown>): Promise<void> {
    service.stack.failEach(({ target }) =>
      targets.test(target) ? { status: 400, type: 'AccessDeniedException' } : undefined,
    );
    await act();
    service.stack.failEach(() => undefined);
  }

  async function meetEveryRoutes(operationId: string): Promise<void> {
    const body = { provisionInstance: settings, importInstance: { id: 1 }, changeInstance: changes }[
      operationId
    ];
    const usual = body && { body };
    for (const tenantId of ['', '%zz', '-']) await request(operationId, { ...nobody(), tenantId }, usual);
    for (const bytes of [65_537, 10 * 1024 * 1024 + 1]) {
      await request(operationId, nobody(), { body: Buffer.alloc(bytes) });
    }
    await request(operationId, nobody(), { body: '{}', contentType: 'text/plain' });
    await failingAws(/^DynamoDB/, () => request(operationId, nobody(), usual));
    // A row as a later version may write it.
    await request(operationId, await somebody({ v: 2, status: 'resting' }), usual);
  }

  async function meetReaders(): Promise<void> {
    await request('listAllInstances', nobody());
    await request('listAllInstances', { ...nobody(), status: 'of a later version' });
    for (const operationId of ['listInstances', 'getInstance', 'readToken']) {
      await request(operationId, nobody());
      await request(operationId, await somebody());
      await request(operationId, await somebody({ status: 'failed' }));
    }
    const gone = { status: 'unhealthy', since: 1, reason: 'gone' };
    for (const operationId of ['getInstance', 'readToken']) {
      await request(operationId, await somebody({ health: gone }));
    }
  }

  async function meetProvisioning(): Promise<void> {
    const path = await somebody();
    await post(path);
    await post(path, another);
    await post(nobody(), withoutKey);
    service.simulator.latencyMs = 200;
    const twice = nobody();
    await Promise.all([post(twice), post(twice)]);
    service.simulator.latencyMs = 0;

    await post(await somebody({ status: 'provisioning', ...leased() }), another);
    await post(await somebody({ status: 'deleting' }));
    await post(await somebody({ status: 'provisioning', ...elsewhere }));
    for (const injectedFault of [
      notApplied(400),
      notApplied(401),
      fromAProxy,
      patience,
      withoutUsableToken,
    ]) {
      await failing('POST /instances', injectedFault, () => post(nobody()));
    }
    await failingAws(/Encrypt$/, () => post(nobody()));
    const withBrokenSecret = nobody();
    await service.putTenantSecret(withBrokenSecret.tenantId, 'not JSON');
    await post(withBrokenSecret, withoutKey);
  }

  async function meetUpdating(): Promise<void> {
    await patch(nobody());
    await patch(await somebody());
    await patch(await somebody({ status: 'failed' }));
    await patch(await somebody(leased()));
    await patch(await somebody(elsewhere));
    for (const injectedFault of [notApplied(400), notApplied(401), notApplied(404), fromAProxy, patience]) {
      const path = await somebody();
      // An answer of a proxy is no verdict, and the update is sent again.
      await failing(
        'PATCH /instances/{id}',
        injectedFault,
        () => patch(path),
        injectedFault === fromAProxy ? 5 : 1,
      );
    }
    const withBrokenSecret = await somebody(fromTheSecret);
    await service.putTenantSecret(withBrokenSecret.tenantId, 'not JSON');
    await patch(withBrokenSecret, secretAnew);
    await patch(await somebody(), secretAnew);
    await patch(await somebody(), { configuration: { 'base.url': 'https://elsewhere.example' } });
    await patch(await somebody({ source: undefined }), secretAnew);
    for (const tags of [['eu'], ['owner:another']]) {
      const path = await somebody();
      const instance = service.simulator.instances.at(-1);
      if (instance) instance.tags = tags;
      await patch(path, { tags: ['gold'] });
    }
    const unread = await somebody();
    await failing('GET /instances/{id}', notApplied(401), () => patch(unread));
  }

  async function meetImporting(): Promise<void> {
    const seed = (over: object = {}) => service.simulator.seed({ ...handMade, ...over }).id;
    const id = seed();
    const path = nobody();
    await importAs(path, id);
    await importAs(path, id);
    await importAs(path, seed());
    await importAs(nobody(), id + 1_000);
    await importAs(
      nobody(),
      seed({ element: { key: 'twiliov2' }, configuration: { username: 'any', password: 'any' } }),
    );
    await importAs(nobody(), seed({ tags: ['owner:another'] }));
    const instance = service.simulator.instances.find((each) => each.id === id);
    if (instance) instance.tags = ['eu'];
    await importAs(nobody(), id);
    await importAs(await somebody({ status: 'provisioning', ...leased() }), seed());
    await importAs(await somebody({ status: 'deleting' }), seed());
    for (const [on, injectedFault, times] of [
      ['PATCH /instances/{id}', notApplied(400), 1],
      ['GET /instances/{id}', notApplied(401), 1],
      ['GET /instances/{id}', notApplied(500), 1],
      ['GET /instances/{id}', fromAProxy, 1],
      ['GET /instances/{id}', patience, 1],
    ] as const) {
      await failing(on, injectedFault, () => importAs(nobody(), seed()), times);
    }
    for (const shown of [{ token: 'any' }, { token: 'not for a header, surely', tags: [] }]) {
      const shownId = seed();
      const body = { id: shownId, element: { key: 'taxify' }, ...shown };
      await failing('GET /instances/{id}', notApplied(200, { body }), () => importAs(nobody(), shownId));
    }
    await failingAws(/Encrypt$/, () => importAs(nobody(), seed()));
    const inDoubt = nobody();
    const doubtful = seed();
    await failing('PATCH /instances/{id}', reset, () => importAs(inDoubt, doubtful), 5);
    await service.changeRow(inDoubt, elsewhere);
    await importAs(inDoubt, doubtful);
  }

  /** Refuses the credentials, and makes the ones fetched instead unusable. Nothing works from then on. */
  async function meetBrokenCredentials(): Promise<void> {
    const path = await somebody();
    await service.putSecret(service.platformSecretName, 'not JSON');
    await failing('PATCH /instances/{id}', notApplied(401), () => patch(path));
    await failing('POST /instances', notApplied(401), () => post(nobody()));
    await failing('GET /instances/{id}', notApplied(401), () => importAs(nobody(), 1));
  }

  /** For a service whose invocations have two seconds in which a create may begin. */
  async function meetUnreachableWhenProvisioning(): Promise<void> {
    await post(nobody());
    await service.simulator.stop();
    await post(nobody());
  }

  /**
   * For a service whose invocations are too short for a create, and have two and a half seconds for a change.
   * @param row of an active instance
   */
  async function meetShortage(row: Record<string, unknown>): Promise<void> {
    const { tenantId } = nobody();
    const path = { tenantId, elementKey: 'taxify' };
    await post(nobody());
    await service.dynamoDb.send(
      new PutItemCommand({
        TableName: service.stack.tableName,
        Item: marshall(
          toStored({
            ...row,
            ...path,
            ...fromTheSecret,
            leaseExpiresAt: 0,
            origin: service.stack.cloudElementsUrl,
          }),
        ),
      }),
    );
    const shown = { id: row['instanceId'], element: { key: 'taxify' } };
    service.simulator.fail({
      on: 'GET /instances/{id}',
      times: 2,
      ...notApplied(200, { body: shown }),
    });
    service.simulator.fail({ on: 'PATCH /instances/{id}', times: 10, ...reset });
    await patch(path);
    await service.putTenantSecret(tenantId, { 'api.key': 'any' });
    service.stack.failEach(() => ({ stallMs: 1_000 }));
    await patch(path, secretAnew);
    await importAs(nobody(), service.simulator.seed(handMade).id);
    service.stack.failEach(() => undefined);
    await service.simulator.stop();
    await patch(path);
  }

  async function meetChecking(): Promise<void> {
    await check(nobody());
    await check(await somebody());
    const disabled = await somebody();
    await check(disabled);
    for (const instance of service.instancesOf(disabled.tenantId)) instance.disabled = true;
    await check(disabled);
    await check(disabled);
    await check(await somebody({ status: 'failed' }));
    await check(await somebody(leased()));
    await check(await somebody(elsewhere));
    await failing('GET /instances/{id}', notApplied(500), async () => check(await somebody()));
  }

  async function meetRemoving(): Promise<void> {
    await request('removeInstance', await somebody());
    await request('removeInstance', await somebody(leased()));
    await request('removeInstance', await somebody(elsewhere));
    const path = await somebody();
    await failing('DELETE /instances/{id}', notApplied(500), () => request('removeInstance', path));
  }
}
