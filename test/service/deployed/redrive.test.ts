import { GetQueueAttributesCommand, SendMessageCommand, SQSClient } from '@aws-sdk/client-sqs';
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import * as z from 'zod/mini';
import { oldestOnboardingMs } from '../../../functions/model/timing.ts';
import { holdMessages } from '../../../infra/cli/redrive/held-messages.ts';
import { newTenant } from '../../support/real-servers.ts';
import { serviceOf, tenantOnboarded, type Service } from '../../support/running-service.ts';
import { startDeployedStack } from './deployed-stack.ts';
import { credentials, endpointUrl, environment, region } from './endpoint.ts';

const programOf = (command: string): string =>
  fileURLToPath(new URL(`../../../infra/cli/${command}/${command}.ts`, import.meta.url));

/** Each test continues with the state of the previous one. */
describe('redrive', () => {
  const sqs = new SQSClient({ endpoint: endpointUrl().origin, region, credentials });
  const mendable = newTenant();
  const malformed = newTenant();
  let stack: Awaited<ReturnType<typeof startDeployedStack>>;
  let service: Service;
  let deadLetterUrl: string;

  beforeAll(async () => {
    stack = await startDeployedStack({ queue: { visibilityTimeoutMs: 1_000, maxReceiveCount: 2 } });
    service = serviceOf(stack);
    deadLetterUrl = stack.outputs['OnboardTenantsDeadLetterQueueUrl'] ?? '';
    await service.putTenantSecret(mendable, 'not JSON');
    await service.deliverEvents(
      tenantOnboarded(mendable),
      tenantOnboarded(malformed, { surprise: 'sent-by-mistake' }),
    );
  });
  afterAll(async () => {
    sqs.destroy();
    await stack.stop();
  });

  /** Counts visible dead letters. */
  async function countDeadLetters(): Promise<number> {
    const { Attributes = {} } = await sqs.send(
      new GetQueueAttributesCommand({
        QueueUrl: deadLetterUrl,
        AttributeNames: ['ApproximateNumberOfMessages'],
      }),
    );
    return Number(Attributes['ApproximateNumberOfMessages']);
  }

  /** Runs the command as an operator does. */
  const redrive = (...options: string[]) => run('redrive', ...options);
  function run(command: string, ...options: string[]): Promise<{ exitCode: number | null; printed: string }> {
    const stage = stack.stackName.replace('element-onboarding-', '');
    return new Promise((resolve) => {
      const child = execFile(
        process.execPath,
        [programOf(command), '--stage', stage, ...options],
        { env: { ...environment, NO_COLOR: '1' }, timeout: 60_000 },
        (_error, stdout, stderr) => resolve({ exitCode: child.exitCode, printed: stdout + stderr }),
      );
    });
  }

  test('redrive without --yes lists dead letters and changes nothing', async () => {
    const { exitCode, printed } = await redrive();
    expect(printed).toMatch(new RegExp(`TenantOnboarded +${mendable} +taxify +readable\n`));
    expect(printed).toMatch(
      new RegExp(`TenantOnboarded +${malformed} +\\? +#/surprise is not a known field \\(message .+\\)\n`),
    );
    expect(printed).not.toContain('sent-by-mistake');
    expect(printed).toContain('2 shown, 0 put back, 2 left');
    expect(printed).toContain('offboard-tenants: no dead letters');
    expect(exitCode).toBe(1);
    expect(await countDeadLetters()).toBe(2);
    expect(service.instancesOf(mendable)).toEqual([]);
  });

  test('status counts dead letters, and shows the result of an audit that was invoked', async () => {
    const result = await service.invoke('audit-instances', {});
    expect(result).toMatchObject({ ours: 0, theirs: 0, complete: true });
    const { exitCode, printed } = await run('status', '--json');
    expect(exitCode).toBe(1);
    // Node's own warnings come after it.
    const [json = ''] = printed.split('\n');
    expect(JSON.parse(json)).toMatchObject({
      deadLetters: { 'onboard-tenants': 2, 'offboard-tenants': 0, 'publish-results': 0 },
      lastAudit: { result },
    });
  });

  test('redrive loses no message that it cannot put back', async () => {
    const held = holdMessages(sqs, deadLetterUrl);
    await held.receive(1, new AbortController().signal);
    for (const message of held.messages()) {
      const nowhere = { toUrl: `${deadLetterUrl}-missing`, body: message.Body };
      await expect(held.move(message, nowhere)).rejects.toThrow(/exist/);
    }
    await held.release();
    expect(await countDeadLetters()).toBe(2);
  });

  test('redrive reports dead letters that another run holds as hidden', async () => {
    const held = holdMessages(sqs, deadLetterUrl);
    await held.receive(1, new AbortController().signal);
    const { exitCode, printed } = await redrive('--queue', 'onboard-tenants');
    await held.release();
    expect(printed).toContain('1 shown, 0 put back, 1 left');
    expect(printed).toContain('Hidden: about 1.');
    expect(exitCode).toBe(1);
  });

  test('redrive with --yes puts readable messages back, and names the others', async () => {
    await service.putTenantSecret(mendable, { 'api.key': 'stored-key-for-tests' });
    const { exitCode, printed } = await redrive('--yes', '--queue', 'onboard-tenants');
    expect(printed).toContain('2 shown, 1 put back, 1 left');
    expect(printed).toMatch(new RegExp(`${malformed} .+ is not a known field`));
    expect(exitCode).toBe(1);
    await expect
      .poll(() => service.rowOf(mendable), { timeout: 30_000, interval: 500 })
      .toMatchObject({ status: 'active' });
    await service.idle();
    await service.expectOneActiveInstance(mendable);
    expect(service.postsFor(mendable)).toBe(1);
    const left = await service.deadLetters();
    expect(left.map(({ body }) => body)).toEqual([expect.stringContaining(malformed)]);
  });

  const timeSchema = z.object({ time: z.string() });

  test('an event from the future goes back with the time of its arrival, one of long ago stays', async () => {
    await service.clearDeadLetters();
    const [ahead, old] = [newTenant(), newTenant()];
    // It becomes a dead letter again after it was put back, so that its body can be read.
    await service.putTenantSecret(ahead, 'not JSON');
    const envelope = { id: 'e-1', source: 'crm.example', 'detail-type': 'TenantOnboarded' };
    const asBody = (tenantId: string, ms: number) =>
      JSON.stringify({ ...envelope, time: new Date(ms).toISOString(), detail: { tenantId } });
    const sentMs = Date.now();
    await service.sendToQueue(asBody(ahead, sentMs + 3_600_000));
    const tooOld = asBody(old, sentMs - oldestOnboardingMs - 1_000);
    await sqs.send(new SendMessageCommand({ QueueUrl: deadLetterUrl, MessageBody: tooOld }));
    await expect.poll(countDeadLetters, { timeout: 30_000, interval: 500 }).toBe(2);
    const diedMs = Date.now();

    const { exitCode, printed } = await redrive('--yes', '--queue', 'onboard-tenants');
    expect(printed).toMatch(new RegExp(`${ahead} .+ readable, its time cut to its arrival`));
    expect(printed).toMatch(new RegExp(`${old} .+ is older than 19.5 days and would be ignored`));
    expect(printed).toContain('2 shown, 1 put back, 1 left');
    expect(exitCode).toBe(1);

    await expect.poll(countDeadLetters, { timeout: 30_000, interval: 500 }).toBe(2);
    const bodies = (await service.deadLetters()).map(({ body }) => body);
    const putBack = timeSchema.parse(JSON.parse(bodies.find((body) => body.includes(ahead)) ?? ''));
    expect(bodies).toContain(tooOld);
    expect(putBack.time).toMatch(/^\S+T\d\d:\d\d:\d\dZ$/);
    expect(Date.parse(putBack.time)).toBeGreaterThan(sentMs - 1_000);
    expect(Date.parse(putBack.time)).toBeLessThanOrEqual(diedMs);
  });

  test('redrive of a stage that is not deployed reports that', async () => {
    const { exitCode, printed } = await redrive('--stage', 'dev-missing');
    expect(printed).toContain('The stack element-onboarding-dev-missing cannot be looked at');
    expect(exitCode).toBe(3);
  });
});
