import * as z from 'zod/mini';
import { commandLine, parseOptions } from './command.ts';
import { sbtSourcesSchema } from '../sbt-sources.ts';
import { CdkJsonError, localStage, readElements } from '../stage-elements.ts';
import { printLogLine } from './log-line.ts';
import { accent, bold, dim, print } from './terminal.ts';

const help = `Runs the whole service on this machine, in memory, until Ctrl-C.

  npm start             with the elements of the stage dev in cdk.json
  PORT=9000 npm start   with other ports: five in a row from 9000 (default 8080)
  SBT_SOURCES=controlPlane=com.example.control,applicationPlane=com.example.application npm start
                        with event sources of the SaaS Builder Toolkit as its user has set them`;

commandLine(help, (args) => parseOptions({ args }), { changesThings: true });

const portSchema = z.coerce.number().check(z.int(), z.gte(1_024), z.lte(65_531));
const sbtSources = z.optional(sbtSourcesSchema).safeParse(process.env['SBT_SOURCES']);
if (sbtSources.error) {
  process.stderr.write(`SBT_SOURCES: ${sbtSources.error.issues[0]?.message}\n`);
  process.exit(1);
}
const elements = elementsOfStage();
const stack = await start(process.env['PORT'] ?? 8080).catch((error: unknown) => {
  const reason = error instanceof Error ? error.message.replace(/: choose another.*/, '.') : String(error);
  process.stderr.write(`${reason} To use others: PORT=9000 npm start\n`);
  process.exit(1);
});

const { apiUrl, awsUrl, dynamodbUrl, cloudElementsUrl, pageUrl } = stack;
const tenantSecret = stack.tenantSecretName('globex', 'taxify');

print(`
${bold('element-onboarding')} runs on this machine. It is not reachable from outside and keeps no data; Ctrl-C ends it.

  Page             ${accent(pageUrl)}   ${dim('tenants, requests and events as they come, and faults to switch on')}
  API reference    ${accent(`${pageUrl}/api`)}
  HTTP API         ${accent(apiUrl)}
  AWS services     ${accent(awsUrl)}   ${dim('Secrets Manager, KMS, EventBridge')}
  DynamoDB         ${accent(dynamodbUrl)}   ${dim(`table ${stack.tableName}`)}
  Cloud Elements   ${accent(cloudElementsUrl)}   ${dim('simulated')}

${bold("Provision a tenant's Taxify instance")} ${dim('(again: the same instance)')}

  curl -i ${apiUrl}/tenants/acme/instances -H 'content-type: application/json' \\
    -d '{"element":{"key":"taxify"},"configuration":{"api.key":"any"},"tags":["eu"],"name":"Acme"}'

${bold('Read its element token')}

  curl ${apiUrl}/tenants/acme/instances/taxify/token

${bold('Onboard another tenant by event')} ${dim('(its key comes from its secret; then look at the result)')}

  curl ${awsUrl} -H 'x-amz-target: secretsmanager.CreateSecret' \\
    -d '{"Name":"${tenantSecret}","SecretString":"{\\"api.key\\":\\"any\\"}"}'
  curl ${awsUrl} -H 'x-amz-target: AWSEvents.PutEvents' \\
    -d '{"Entries":[{"EventBusName":"${stack.busName}","Source":"crm","DetailType":"TenantOnboarded","Detail":"{\\"tenantId\\":\\"globex\\"}"}]}'
  curl ${apiUrl}/tenants/globex/instances
`);

for (const signal of ['SIGINT', 'SIGTERM'] as const) {
  process.once(signal, () => {
    void stack.stop();
  });
}

/** Those of the development stage. */
function elementsOfStage() {
  try {
    return readElements(localStage);
  } catch (error) {
    if (!(error instanceof CdkJsonError)) throw error;
    process.stderr.write(`${error.message}\n`);
    process.exit(1);
  }
}

async function start(firstPort: unknown) {
  const port = portSchema.safeParse(firstPort).data;
  if (port === undefined)
    throw new Error('Expected PORT to be a number from 1024 to 65531, the first of five ports.');
  const { startLocalStackWithPage } = await import('../local/page/page.ts');
  return startLocalStackWithPage({
    keepSchedules: true,
    sbtSources: sbtSources.data,
    elements,
    ports: { api: port, aws: port + 1, dynamodb: port + 2, cloudElements: port + 3, page: port + 4 },
    onLog: (_functionName, line) => printLogLine(line),
  });
}
