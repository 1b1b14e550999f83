import { RemovalPolicy, Stack, Tags, Validations } from 'aws-cdk-lib';
import { Template } from 'aws-cdk-lib/assertions';
import { EventBus } from 'aws-cdk-lib/aws-events';
import {
  AccountPrincipal,
  CfnPolicy,
  ManagedPolicy,
  PermissionsBoundary,
  Role,
  ServicePrincipal,
} from 'aws-cdk-lib/aws-iam';
import { Key } from 'aws-cdk-lib/aws-kms';
import { Code } from 'aws-cdk-lib/aws-lambda';
import { RetentionDays } from 'aws-cdk-lib/aws-logs';
import { Topic } from 'aws-cdk-lib/aws-sns';
import { AwsSolutionsChecks } from 'cdk-nag';
import { describe, expect, test } from 'vitest';
import { ElementOnboarding, type ElementOnboardingProps } from '../../infra/element-onboarding.ts';
import { OnboardingStack } from '../../infra/stack.ts';
import { pageAt } from '../support/pages.ts';
import { identitiesIn } from './earlier-template.ts';
import earlier from './earlier-template.json' with { type: 'json' };
import { newApp } from './new-app.ts';
import { allowancesIn, production, resources, rows } from './template.ts';

const baseUrl = 'https://api.cloud-elements.com';
const inline = (name: string): Code => Code.fromInline(name);
const topicArn = 'arn:aws:sns:eu-west-1:111122223333:alarms';
const env = { account: '111122223333', region: 'eu-west-1' };

/** An app's stack with the construct in it. */
function onboarding(
  props: Partial<ElementOnboardingProps> = {},
  stack = new Stack(newApp(), 'Platform'),
  id = 'Taxify',
) {
  const construct = new ElementOnboarding(stack, id, { stage: 'dev', baseUrl, code: inline, ...props });
  return { stack, construct, template: () => Template.fromStack(stack) };
}

const properties = (type: string, of: Template) => resources(type, of).map(({ Properties }) => Properties);

test('an upgrade replaces and removes no resource of the version before, and renames no output', () => {
  const now = identitiesIn(production);
  expect(Object.entries(earlier).filter(([id, identity]) => now[id] !== identity)).toEqual([]);
  expect(Object.keys(earlier).length).toBeGreaterThan(150);
});

test('the stack of a stage takes the properties of any stack', () => {
  const settings = { stage: 'dev', baseUrl };
  const stack = new OnboardingStack(newApp({ isValidated: true }), {
    settings,
    code: inline,
    env,
    tags: { team: 'platform' },
  });
  expect(stack).toMatchObject({ ...env, stackName: 'element-onboarding-dev' });
  expect(stack.tags.tagValues()).toEqual({ team: 'platform' });
  expect(stack.templateOptions.description).toContain(baseUrl);
  Tags.of(stack).add('cost-center', '7');
  for (const { Tags: tags } of properties('AWS::DynamoDB::Table', Template.fromStack(stack)))
    expect(tags).toContainEqual({ Key: 'cost-center', Value: '7' });
});

describe('two constructs in one stack', () => {
  const { stack } = onboarding({ stage: 'dev-one', eventBus: undefined });
  const others = EventBus.fromEventBusName(stack, 'Others', 'others');
  onboarding({ stage: 'dev-two', eventBus: others }, stack, 'Avalara');
  const template = Template.fromStack(stack);

  test('two constructs share no name, and each has its own functions, table and outputs', () => {
    const named = Object.values(identitiesIn(template)).flatMap(
      (identity) => identity.match(/\b\w*Name=[\w./-]*dev-(one|two)\S*/g) ?? [],
    );
    expect(new Set(named).size).toBe(named.length);
    expect(named.length).toBeGreaterThan(70);
    expect(resources('AWS::DynamoDB::Table', template)).toHaveLength(2);
    expect(resources('AWS::Lambda::Function', template)).toHaveLength(2 * rows.length);
    expect(Object.keys(template.findOutputs('*')).filter((id) => id.includes('ApiUrl'))).toHaveLength(2);
  });

  test('a second construct of the same stage is refused', () => {
    expect(() => onboarding({ stage: 'dev-one' }, new Stack(stack.node.root, 'Another'))).not.toThrow();
    expect(() => onboarding({ stage: 'dev-one' }, stack, 'Again')).toThrow(
      /stage dev-one .* give each a stage/,
    );
  });

  test('the saved queries of a construct read its own log groups alone', () => {
    for (const { Name, LogGroupNames } of properties('AWS::Logs::QueryDefinition', template)) {
      const prefix = String(Name).startsWith('element-onboarding-dev-one/') ? 'Taxify' : 'Avalara';
      expect(LogGroupNames.map(({ Ref }: { Ref: string }) => Ref.slice(0, prefix.length))).toEqual(
        [...rows, 'the access log'].map(() => prefix),
      );
    }
  });
});

test.each([
  ['in a stack without an environment', {}],
  ['in a stack with an environment', { env }],
])('cdk-nag finds nothing %s', (_title, props) => {
  const app = newApp({ isValidated: true });
  const stack = new Stack(app, 'Platform', props);
  onboarding({ stage: 'one', alarmTopic: Topic.fromTopicArn(stack, 'Topic', topicArn) }, stack);
  const eventBus = EventBus.fromEventBusName(stack, 'Others', 'others');
  onboarding({ eventBus }, stack, 'Second');
  Validations.of(app).addPlugins(new AwsSolutionsChecks(app));
  // Throws with them, when there are any.
  expect(() => app.synth()).not.toThrow();
});

describe('a bus of others', () => {
  const busArn = 'arn:aws:events:eu-west-1:111122223333:event-bus/sbt/control-plane';
  const settings = { stage: 'dev', baseUrl, eventBusArn: busArn };
  const template = Template.fromStack(
    new OnboardingStack(newApp({ isValidated: true }), { settings, code: inline }),
  );

  test('a given bus gets the rules, and is otherwise left alone', () => {
    const onTheBus = properties('AWS::Events::Rule', template).filter((rule) => rule.EventBusName);
    expect(onTheBus).toHaveLength(6);
    for (const { EventBusName } of onTheBus) expect(EventBusName).toBe('sbt/control-plane');
    const ofEvents = Object.values(identitiesIn(template)).filter((identity) =>
      /^Events::(?!Rule)/.test(identity),
    );
    expect(ofEvents).toEqual([]);
  });

  test('results are published on the given bus, and nothing may publish elsewhere', () => {
    const publishing = allowancesIn(template.toJSON()).filter(({ Action }) =>
      Action.includes('events:PutEvents'),
    );
    expect(publishing).toMatchObject([{ Resource: [busArn] }]);
    const buses = properties('AWS::Lambda::Function', template).flatMap(
      ({ Environment }) => Environment.Variables.EVENT_BUS_NAME ?? [],
    );
    expect(buses).toEqual(['sbt/control-plane']);
    expect(template.findOutputs('EventBusName')).toMatchObject({
      EventBusName: { Value: 'sbt/control-plane' },
    });
  });

  test('a bus of the same app is used, in the same stack and from another', () => {
    const app = newApp();
    const busStack = new Stack(app, 'Buses');
    const bus = new EventBus(busStack, 'Shared', { eventBusName: 'shared' });
    const { template: ofPlatform, construct } = onboarding({ eventBus: bus }, new Stack(app, 'Platform'));
    expect(construct.bus).toBe(bus);
    expect(resources('AWS::Events::EventBus', ofPlatform())).toEqual([]);
    expect(resources('AWS::Events::Rule', ofPlatform()).length).toBeGreaterThan(6);
    expect(Object.keys(identitiesIn(Template.fromStack(busStack)))).toHaveLength(3);
  });
});

test('a permissions boundary applies to every role', () => {
  const { stack, template } = onboarding();
  PermissionsBoundary.of(stack).apply(ManagedPolicy.fromAwsManagedPolicyName('PowerUserAccess'));
  const roles = properties('AWS::IAM::Role', template());
  expect(roles).toHaveLength(rows.length);
  for (const { PermissionsBoundary: boundary } of roles)
    expect(JSON.stringify(boundary)).toContain('PowerUserAccess');
});

describe('the properties of the construct', () => {
  test('memory, log retention, limits of routes, elements and reserved token reads are as given', () => {
    const given: Partial<ElementOnboardingProps> = {
      memorySize: 1_024,
      logRetention: RetentionDays.ONE_YEAR,
      throttling: {
        read: { rateLimit: 500, burstLimit: 900 },
        write: Object({ rateLimit: undefined, burstLimit: 20 }),
      },
      elements: { acme: { required: ['api.key'], addresses: { subdomain: 'dns-label' }, ping: false } },
      reservedTokenReads: 40,
    };
    const template = onboarding(given, new Stack(newApp({ isValidated: true }), 'Platform')).template();
    const functions = properties('AWS::Lambda::Function', template);
    expect(new Set(functions.map(({ MemorySize }) => MemorySize))).toEqual(new Set([1_024]));
    const reserved = functions.filter((each) => each.ReservedConcurrentExecutions !== undefined);
    expect(reserved).toMatchObject([{ Code: { ZipFile: 'read-token' }, ReservedConcurrentExecutions: 40 }]);
    const elements = functions.flatMap(({ Environment }) => Environment.Variables.ELEMENTS ?? []);
    expect(elements.length).toBeGreaterThan(3);
    expect(new Set(elements)).toEqual(
      new Set(['{"acme":{"required":["api.key"],"addresses":{"subdomain":"dns-label"},"ping":false}}']),
    );
    const groups = properties('AWS::Logs::LogGroup', template);
    expect(new Set(groups.map(({ RetentionInDays }) => RetentionInDays))).toEqual(new Set([365]));
    const [{ RouteSettings }] = properties('AWS::ApiGatewayV2::Stage', template);
    expect(RouteSettings).toMatchObject({
      'GET /instances': { ThrottlingRateLimit: 500, ThrottlingBurstLimit: 900 },
      'POST /tenants/{tenantId}/instances': { ThrottlingRateLimit: 10, ThrottlingBurstLimit: 20 },
      'POST /tenants/{tenantId}/instances/{elementKey}/check': {
        ThrottlingRateLimit: 2,
        ThrottlingBurstLimit: 10,
      },
    });
  });

  test.each([
    ['dev', RemovalPolicy.RETAIN, /^Retain/, true],
    ['prod', RemovalPolicy.DESTROY, /^Delete$/, false],
  ] as const)('data of stage %s with the removal policy %s is kept or deleted as given', (...row) => {
    const [stage, removalPolicy, expected, isProtected] = row;
    const stack = new Stack(newApp({ isValidated: true }), 'Platform');
    const alarmTopic = Topic.fromTopicArn(stack, 'Topic', topicArn);
    const template = onboarding({ stage, removalPolicy, alarmTopic }, stack).template();
    for (const type of ['DynamoDB::Table', 'KMS::Key', 'SecretsManager::Secret', 'Logs::LogGroup']) {
      for (const { DeletionPolicy } of resources(`AWS::${type}`, template))
        expect(DeletionPolicy).toMatch(expected);
    }
    const [table] = properties('AWS::DynamoDB::Table', template);
    expect(table.DeletionProtectionEnabled).toBe(isProtected);
  });

  test('the alarm topic of the app is notified', () => {
    const stack = new Stack(newApp(), 'Platform');
    const alarmTopic = new Topic(stack, 'OnCall');
    const template = onboarding({ alarmTopic }, stack).template();
    for (const { AlarmActions, OKActions } of properties('AWS::CloudWatch::Alarm', template)) {
      expect(AlarmActions).toEqual([stack.resolve(alarmTopic.topicArn)]);
      expect(OKActions).toEqual(AlarmActions);
    }
  });

  test('wrong properties are all named, without their values', () => {
    const wrong = {
      stage: 'Prod',
      baseUrl: 'https://anna:hunter2@api.cloud-elements.com',
      sbtSources: { controlPlane: 'aws.events' },
      memorySize: 0.5,
      elements: { acme: { allowed: { 'base.url': 'flag' as const } } },
      removalPolicy: Object('snapshot'),
      reservedTokenReads: 0,
    };
    const lines = refusalOf(wrong).split('\n');
    expect(lines.map((line) => line.split(':')[0]?.trim())).toEqual([
      'Error',
      'stage',
      'baseUrl',
      'sbtSources.controlPlane',
      'memorySize',
      'elements.acme.allowed.base.url',
      'reservedTokenReads',
      'removalPolicy',
    ]);
    expect(lines.join()).not.toContain('hunter2');
  });

  test.each([
    [
      { alarmTopic: topicArn },
      "alarmTopic: expected an object of CDK, such as Topic.fromTopicArn(this, 'Topic', arn)",
    ],
    [{ alarmTopic: null }, 'alarmTopic: expected an object of CDK'],
    [
      { eventBus: 'shared' },
      "eventBus: expected an object of CDK, such as EventBus.fromEventBusArn(this, 'Bus', arn)",
    ],
    [{ throttling: { reads: {} } }, 'throttling: expected limits of read, write or rare'],
    [{ throttling: { read: { rate: 7 } } }, 'throttling.read: expected rateLimit, burstLimit or both'],
    [{ throttling: { read: { rateLimit: '7' } } }, 'throttling.read.rateLimit: expected'],
    [{ sbtSources: 'controlPlane=x' }, 'sbtSources: expected { controlPlane, applicationPlane }'],
    [{ sbtSources: { controlplane: 'x' } }, 'sbtSources: expected { controlPlane, applicationPlane }'],
    [{ sbtSources: { controlPlane: 7 } }, 'sbtSources.controlPlane: expected an event source'],
    [{ memorySize: 64 }, 'memorySize: expected a whole number of MiB from 128 to 10240'],
  ])('plain JavaScript’s %j is refused with the expected value', (props, expected) => {
    expect(refusalOf(Object(props))).toContain(expected);
  });

  test.each([
    ['another account', 'arn:aws:events:eu-west-1:444455556666:event-bus/shared'],
    ['another Region', 'arn:aws:events:us-east-1:111122223333:event-bus/shared'],
  ])('a bus in %s is refused', (_title, arn) => {
    const stack = new Stack(newApp(), 'Platform', { env });
    const eventBus = EventBus.fromEventBusArn(stack, 'Shared', arn);
    expect(() => onboarding({ eventBus }, stack)).toThrow('Expected eventBus to be in');
    const anywhere = new Stack(newApp(), 'Platform');
    expect(() => onboarding({ eventBus }, anywhere)).not.toThrow();
  });

  test('a misspelled property is refused with the nearest known one', () => {
    expect(() => onboarding(JSON.parse('{"alarmtopic": 7}'))).toThrow(
      /alarmtopic: unknown key; did you mean alarmTopic\?/,
    );
  });
});

function refusalOf(props: Partial<ElementOnboardingProps>): string {
  try {
    onboarding(props);
    return '';
  } catch (error) {
    return String(error);
  }
}

const pathsOf = (statements: readonly { text: string }[]) =>
  statements.flatMap(({ text }) => /\$default[^"]*/.exec(text)?.[0] ?? []);

describe('the grants', () => {
  const { stack, construct } = onboarding();
  let roles = 0;

  /** The statements of a new role after a grant, their resources as text: as a template would have them. */
  function granted(grant: (role: Role) => unknown) {
    const role = new Role(stack, `Caller${++roles}`, {
      assumedBy: new ServicePrincipal('lambda.amazonaws.com'),
    });
    grant(role);
    const policies = role.node.findAll().filter((each) => each instanceof CfnPolicy);
    return allowancesIn(policies.map(({ policyDocument }) => stack.resolve(policyDocument))).map(
      ({ Action, Resource, Condition }) => ({
        action: Action.join(' '),
        text: JSON.stringify(Resource),
        Condition,
      }),
    );
  }

  test.each([
    [{}, 'tenants/*/instances/*'],
    [{ tenantId: 'acme' }, 'tenants/acme/instances/*'],
    [{ elementKey: 'taxify' }, 'tenants/*/instances/taxify'],
    [{ tenantId: 'acme.eu', elementKey: 'taxify' }, 'tenants/acme.eu/instances/taxify'],
    [{ tenantId: '${aws:PrincipalTag/tenantId}' }, 'tenants/${aws:PrincipalTag/tenantId}/instances/*'],
  ])('grantReadToken(%j) permits one route and nothing else', (instances, path) => {
    const statements = granted((role) => construct.grantReadToken(role, instances));
    expect(statements).toHaveLength(1);
    expect(statements[0]?.action).toBe('execute-api:Invoke');
    expect(pathsOf(statements)).toEqual([`$default/GET/${path}/token`]);
    const imports = granted((role) => construct.grantImport(role, instances));
    expect(imports.map(({ action }) => action)).toEqual(['execute-api:Invoke']);
    expect(pathsOf(imports)).toEqual([`$default/POST/${path}/import`]);
  });

  test.each(['*', 'acme/*', 'a?me', '', '${aws:username}', '${aws:PrincipalTag/a}/*', 'acme/instances/x'])(
    'grantReadToken refuses the tenant %o, which could mean others',
    (tenantId) => {
      expect(() => granted((role) => construct.grantReadToken(role, { tenantId }))).toThrow(
        'Expected tenantId',
      );
    },
  );

  test.each([
    { tenant: 'acme' },
    { tenantId: undefined },
    { tenantId: 'acme', elementKey: undefined },
    { tenantId: null },
    ['acme'],
  ])('grants refuse %o, which would permit more than it says', (instances) => {
    const grant = (name: 'grantReadToken' | 'grantImport') => () =>
      granted((role) => construct[name](role, Object(instances)));
    expect(grant('grantReadToken')).toThrow('Expected');
    expect(grant('grantImport')).toThrow('Expected');
  });

  test.each([
    ['a service', new ServicePrincipal('lambda.amazonaws.com')],
    ['an account', new AccountPrincipal('444455556666')],
  ])('grants refuse %s, which has no policy to add to', (_title, grantee) => {
    for (const name of ['grantReadToken', 'grantOnboard', 'grantWriteTenantSecrets'] as const)
      expect(() => construct[name](grantee)).toThrow('could not be added');
  });

  test.each(['*', 'Taxify', 'taxify/*', ''])('grantReadToken refuses the element %o', (elementKey) => {
    expect(() => granted((role) => construct.grantReadToken(role, { elementKey }))).toThrow(
      'Expected elementKey',
    );
  });

  test.each([
    ['grantOnboard', 'POST/tenants/*/instances', 'TenantOnboarded'],
    ['grantOffboard', 'DELETE/tenants/*/instances/*', 'TenantOffboarded'],
  ] as const)('%s permits one route, and one event on the bus', (name, path, detailType) => {
    const statements = granted((role) => construct[name](role));
    expect(pathsOf(statements)).toEqual([`$default/${path}`]);
    const events = statements.filter(({ action }) => action !== 'execute-api:Invoke');
    expect(events).toMatchObject([
      { action: 'events:PutEvents', Condition: { StringEquals: { 'events:detail-type': detailType } } },
    ]);
    expect(events[0]?.text).toContain('TaxifyBus');
  });

  test('grantWriteTenantSecrets permits writing the tenants’ secrets, and reading none', () => {
    const statements = granted((role) => construct.grantWriteTenantSecrets(role));
    expect(statements.map(({ action }) => action)).toEqual([
      'secretsmanager:CreateSecret secretsmanager:PutSecretValue',
    ]);
    expect(statements[0]?.text).toContain(':secret:element-onboarding/dev/tenants/*');
  });

  test('the functions that the page names may decrypt tenants’ secrets under a key of the app', () => {
    const own = onboarding();
    const key = new Key(own.stack, 'TenantSecrets');
    const [line = ''] = /^Tenants' secrets under a KMS key.*/m.exec(pageAt('infra/README.md')) ?? [];
    const named = rows.map(([name]) => name).filter((name) => new RegExp(`['\`]${name}['\`]`).test(line));
    const reading = rows.filter(([, { uses }]) => uses.secrets?.includes('tenants'));
    expect(named).toEqual(reading.map(([name]) => name));
    for (const [name, handler] of Object.entries(own.construct.functions))
      if (named.includes(name)) key.grantDecrypt(handler);
    const decrypting = allowancesIn(own.template().toJSON()).filter(
      ({ Resource }) => JSON.stringify(Resource) === JSON.stringify([own.stack.resolve(key.keyArn)]),
    );
    expect(decrypting.map(({ Action }) => Action)).toEqual(named.map(() => ['kms:Decrypt']));
  });

  test('the runtime secret is readable by the application that may read it', () => {
    const statements = granted((role) => construct.runtimeSecret.grantRead(role));
    expect(statements.map(({ text }) => text)).toEqual([expect.stringContaining('TaxifyRuntimeSecret')]);
  });
});
