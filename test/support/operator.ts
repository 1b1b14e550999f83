import { execFile } from 'node:child_process';
import { createServer } from 'node:http';
import { closeServer, listenOnLoopback } from '../../infra/local/loopback.ts';
import type { LocalStackOptions } from '../../infra/local/stack.ts';
import { startService, type Service } from './running-service.ts';
import { commandPrograms, compileCache, type Command } from './shared-bundle.ts';

export type Ended = { status: number | null; stdout: string; stderr: string };

/** The access key of the commands. */
export const operator = 'operator';

/** The service on ports in a row, as `npm start` has it: API, AWS services, DynamoDB, Cloud Elements. */
export async function startOnPortsInARow(
  options: LocalStackOptions = {},
): Promise<{ service: Service; port: number }> {
  for (let tries = 0; ; tries++) {
    const port = 20_000 + Math.floor(Math.random() * 40_000);
    const ports = { api: port, aws: port + 1, dynamodb: port + 2, cloudElements: port + 3 };
    try {
      return { service: await startService({ ...options, ports }), port };
    } catch (error) {
      if (tries === 20) throw error;
    }
  }
}

/** The service, and an operator who runs commands on it: with `--local`, or with `--stage`, by the outputs of a stack. */
export async function startWithOperator(outputsOf: (service: Service) => Record<string, string>) {
  const { service, port } = await startOnPortsInARow();
  const cloudFormation = createServer((_request, response) => {
    const outputs = Object.entries(outputsOf(service)).map(
      ([key, value]) => `<member><OutputKey>${key}</OutputKey><OutputValue>${value}</OutputValue></member>`,
    );
    response.setHeader('content-type', 'text/xml');
    response.end(
      `<DescribeStacksResponse><DescribeStacksResult><Stacks><member><Outputs>${outputs.join('')}</Outputs></member>` +
        '</Stacks></DescribeStacksResult></DescribeStacksResponse>',
    );
  });
  const environment: Record<string, string | undefined> = {
    PATH: process.env['PATH'],
    PORT: String(port),
    ...compileCache(),
    ...service.stack.environment,
    AWS_ENDPOINT_URL_CLOUDFORMATION: await listenOnLoopback(cloudFormation, 0),
    AWS_ACCESS_KEY_ID: operator,
  };

  const programOf = await commandPrograms();

  function start(command: Command, ...args: string[]) {
    const { promise: ended, resolve } = Promise.withResolvers<Ended>();
    const child = execFile(
      process.execPath,
      ['--disable-warning=ExperimentalWarning', programOf(command), ...args],
      { env: environment, timeout: 60_000, maxBuffer: 64 * 1_024 * 1_024 },
      (_error, stdout, stderr) => resolve({ status: child.exitCode, stdout, stderr }),
    );
    return { child, ended };
  }

  return {
    service,
    port,
    environment,
    start,
    run: (command: Command, ...args: string[]) => start(command, ...args).ended,
    async stop(): Promise<void> {
      await service[Symbol.asyncDispose]();
      await closeServer(cloudFormation);
    },
  };
}
