import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, test } from 'vitest';
import cdkJson from '../../cdk.json' with { type: 'json' };
import { isDisposable, parseSettings } from '../../infra/settings.ts';
import { everyPage } from '../support/pages.ts';

const baseUrl = 'https://api.cloud-elements.com';

describe('settings', () => {
  test('settings are taken from the context', () => {
    expect(parseSettings({ stages: { prod: {} }, stage: 'prod', baseUrl })).toEqual({
      settings: { stage: 'prod', baseUrl },
    });
  });

  test('wrong settings are all named in one text, each with the expected value and an example', () => {
    expect(parseSettings({ stage: 'Prod', baseUrl: 'api.cloud-elements.com' })).toEqual({
      complaint: [
        'Wrong context:',
        '  stage: expected a lower-case letter and then up to 19 lower-case letters, digits or hyphens, for example prod',
        '  baseUrl: expected the origin of Cloud Elements: https (http for a loopback address only), no path, query or user info, for example https://api.cloud-elements.com',
      ].join('\n'),
    });
  });

  test.each([
    ['baseurl', 'baseUrl'],
    ['base-url', 'baseUrl'],
    ['Stage', 'stage'],
    ['stgae', 'stage'],
    ['alarmTopic', 'alarmTopicArn'],
    ['runbook', 'runbookUrl'],
  ])('settings refuse the key %s, and name the nearest known one', (key, nearest) => {
    const parsed = parseSettings({
      stages: { prod: {} },
      stage: 'prod',
      baseUrl,
      [key]: 'https://api.cloud-elements.co.uk',
    });
    expect(parsed).toHaveProperty(
      'complaint',
      expect.stringMatching(
        `^Wrong context:\n  ${key}: unknown key; did you mean ${nearest}\\? \\(known: stage, baseUrl, .*, stages\\)$`,
      ),
    );
  });

  test('settings ignore keys of CDK itself', () => {
    const ofCdk = {
      'aws:cdk:enable-path-metadata': true,
      'aws:cdk:bundling-stacks': ['**'],
      '@aws-cdk/core:failSynthOnValidationErrors': false,
      'availability-zones:account=111122223333:region=eu-west-1': ['eu-west-1a'],
      'cli-telemetry': false,
      'acknowledged-issue-numbers': [1],
    };
    expect(parseSettings({ stages: { prod: {} }, stage: 'prod', baseUrl, ...ofCdk })).toEqual({
      settings: { stage: 'prod', baseUrl },
    });
  });

  test('settings are checked together with all other keys of the app’s context', async () => {
    const app = fileURLToPath(new URL('../../infra/app.ts', import.meta.url));
    const context = {
      stages: { prod: {} },
      stage: 'prod',
      baseUrl,
      baseurl: 'https://api.cloud-elements.co.uk',
    };
    const env = { ...process.env, CDK_CONTEXT_JSON: JSON.stringify(context) };
    const failure = promisify(execFile)(process.execPath, [app], { env });
    await expect(failure).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining('baseurl: unknown key; did you mean baseUrl?'),
    });
  });

  test('missing settings are named in the same way', () => {
    const parsed = parseSettings({ stage: undefined, baseUrl: undefined });
    expect(parsed).toEqual(parseSettings({ stage: 'Prod', baseUrl: 'api.cloud-elements.com' }));
  });

  test.each(['', '1st', 'dev_1', 'PROD', 'a'.repeat(21)])('settings refuse the stage %o', (stage) => {
    expect(parseSettings({ stages: { [stage]: {} }, stage, baseUrl })).toHaveProperty(
      'complaint',
      expect.stringContaining('stage:'),
    );
  });

  test.each(['d', 'dev-anna', 'eu-west-2', 'a'.repeat(20)])('settings accept the stage %o', (stage) => {
    expect(parseSettings({ stages: { [stage]: {} }, stage, baseUrl })).toHaveProperty(
      'settings.stage',
      stage,
    );
  });

  test.each([
    'http://api.cloud-elements.com',
    'http://127.0.0.1.example.com',
    'https://api.cloud-elements.com/elements/api-v2',
    'https://api.cloud-elements.com?debug',
    'https://api.cloud-elements.com#top',
    'ftp://api.cloud-elements.com',
    'https://',
    '',
  ])('settings refuse the base URL %o', (url) => {
    expect(parseSettings({ stage: 'dev', baseUrl: url })).toHaveProperty(
      'complaint',
      expect.stringContaining('baseUrl:'),
    );
  });

  test('settings refuse a base URL with credentials and do not repeat them', () => {
    const parsed = parseSettings({ stage: 'dev', baseUrl: 'https://anna:hunter2@api.cloud-elements.com' });
    expect(parsed).toHaveProperty('complaint', expect.not.stringContaining('hunter2'));
  });

  test.each([
    ['https://api.cloud-elements.com/', 'https://api.cloud-elements.com'],
    [
      'https://API.openconnectors.eu10.ext.hana.ondemand.com:443',
      'https://api.openconnectors.eu10.ext.hana.ondemand.com',
    ],
    ['http://localhost:8080', 'http://localhost:8080'],
    ['http://127.0.0.1:8080', 'http://127.0.0.1:8080'],
    ['http://[::1]:8080', 'http://[::1]:8080'],
  ])('settings reduce the base URL %o to the origin %o', (url, origin) => {
    expect(parseSettings({ stage: 'dev', baseUrl: url })).toHaveProperty('settings.baseUrl', origin);
  });

  test('settings may name the alarm topic and the runbook', () => {
    const more = {
      alarmTopicArn: 'arn:aws-us-gov:sns:us-gov-west-1:123456789012:on_call-1',
      runbookUrl: 'https://git.example.com/team/element-onboarding/infra/monitoring/README.md?plain=1',
    };
    expect(parseSettings({ stages: { prod: {} }, stage: 'prod', baseUrl, ...more })).toEqual({
      settings: { stage: 'prod', baseUrl, ...more },
    });
  });

  test.each([
    'alarms',
    '',
    'arn:aws:sqs:eu-west-1:123456789012:alarms',
    'arn:aws:sns:eu-west-1:12345678901:alarms',
    'arn:aws:sns:eu-west-1:123456789012:alarms.fifo',
    'arn:aws:sns:eu-west-1:123456789012:alarms:b5c2d7',
  ])('settings refuse the alarm topic %o', (alarmTopicArn) => {
    const complaint = expect.stringContaining('alarmTopicArn: expected the ARN of an SNS topic, for example');
    expect(parseSettings({ stage: 'dev', baseUrl, alarmTopicArn })).toHaveProperty('complaint', complaint);
  });

  test('settings may name a bus of others', () => {
    const eventBusArn = 'arn:aws:events:eu-west-1:123456789012:event-bus/sbt.control-plane/tenants_1';
    expect(parseSettings({ stage: 'dev', baseUrl, eventBusArn })).toEqual({
      settings: { stage: 'dev', baseUrl, eventBusArn },
    });
  });

  test.each([
    'tenants',
    '',
    'arn:aws:events:eu-west-1:123456789012:event-bus/',
    'arn:aws:events:eu-west-1:123456789012:rule/tenants',
    'arn:aws:events:eu-west-1:123456789012:event-bus/tenants arn:aws:events',
    'arn:aws:sns:eu-west-1:123456789012:event-bus/tenants',
  ])('settings refuse the event bus %o', (eventBusArn) => {
    const complaint = expect.stringContaining('eventBusArn: expected the ARN of an event bus');
    expect(parseSettings({ stage: 'dev', baseUrl, eventBusArn })).toHaveProperty('complaint', complaint);
  });

  test.each([
    '',
    'README.md',
    'http://example.com/README.md',
    'https://example.com/README.md#runbook',
    'https://anna:hunter2@example.com/README.md',
    `https://example.com/${'a'.repeat(300)}`,
  ])('settings refuse the runbook %o', (runbookUrl) => {
    const parsed = parseSettings({ stage: 'dev', baseUrl, runbookUrl });
    expect(parsed).toHaveProperty('complaint', expect.stringContaining('runbookUrl: expected the https'));
    expect(parsed).toHaveProperty('complaint', expect.not.stringContaining('hunter2'));
  });

  test.each([
    ['dev', true],
    ['dev-anna', true],
    ['develop', false],
    ['prod', false],
  ])('the stage %o is disposable: %o', (stage, disposable) => {
    expect(isDisposable({ stage })).toBe(disposable);
  });

  const ofEu = { baseUrl: 'https://api.cloud-elements.co.uk', runbookUrl: 'https://git.example.com/runbook' };

  test('the entry of the stage gives its settings, and the command line overrides them', () => {
    const stages = { dev: { baseUrl }, prod: ofEu };
    expect(parseSettings({ stage: 'prod', stages })).toEqual({ settings: { stage: 'prod', ...ofEu } });
    expect(parseSettings({ stage: 'dev', stages })).toEqual({ settings: { stage: 'dev', baseUrl } });
    expect(parseSettings({ stage: 'prod', stages, baseUrl })).toEqual({
      settings: { stage: 'prod', ...ofEu, baseUrl },
    });
  });

  test('a development stage without an entry has the settings of dev', () => {
    const stages = { dev: ofEu, 'dev-anna': { baseUrl } };
    expect(parseSettings({ stage: 'dev-bob', stages })).toEqual({ settings: { stage: 'dev-bob', ...ofEu } });
    expect(parseSettings({ stage: 'dev-anna', stages })).toEqual({
      settings: { stage: 'dev-anna', baseUrl },
    });
    expect(parseSettings({ stage: 'dev-bob', baseUrl })).toEqual({ settings: { stage: 'dev-bob', baseUrl } });
  });

  test.each(['prd', 'develop', 'toString', '__proto__x'])(
    'the stage %o without an entry is refused, whatever the command line says',
    (stage) => {
      const parsed = parseSettings({ stage, baseUrl, stages: { dev: { baseUrl }, prod: { baseUrl } } });
      expect(parsed).toHaveProperty('complaint', expect.stringContaining('stage'));
    },
  );

  test.each([{}, { baseUrl }])(
    'a stage without an entry is refused with the known ones and the entry to add: %o',
    (given) => {
      expect(parseSettings({ stage: 'prd', ...given, stages: { dev: {}, prod: {} } })).toEqual({
        complaint:
          'Wrong context:\n  stage: "prd" has no entry in "stages" of cdk.json (there: dev, prod); add one with its ' +
          'settings, for example "stages": {"prd": {"baseUrl": "https://api.cloud-elements.com"}}',
      });
    },
  );

  test('a wrong override is named beside the missing entry of its stage', () => {
    const { complaint } = Object(parseSettings({ stage: 'prd', baseUrl: 'x', stages: { prod: {} } }));
    expect(complaint).toContain('  baseUrl: expected the origin');
    expect(complaint).toContain('  stage: "prd" has no entry');
  });

  test('misspelled and wrong settings of every entry are named with their stage', () => {
    const stages = { dev: { baseurl: baseUrl }, prod: { baseUrl, alarmTopic: 'x' } };
    const { complaint } = Object(parseSettings({ stage: 'prod', stages }));
    expect(complaint).toContain('  stages.dev.baseurl: unknown key; did you mean baseUrl?');
    expect(complaint).toContain('  stages.prod.alarmTopic: unknown key; did you mean alarmTopicArn?');
    expect(parseSettings({ stage: 'prod', stages: { prod: { baseUrl: 'no address' } } })).toHaveProperty(
      'complaint',
      expect.stringContaining('baseUrl: expected the origin'),
    );
  });

  test.each(['prod', 7, [], { prod: 'https://api.cloud-elements.com' }])(
    '%o is refused as stages',
    (stages) => {
      const parsed = parseSettings({ stage: 'prod', baseUrl, stages });
      expect(parsed).toHaveProperty('complaint', expect.stringContaining('stages'));
    },
  );

  test('the commands of the pages, run as printed, keep every setting of the stage’s entry', () => {
    const stages = { prod: { ...ofEu, alarmTopicArn: 'arn:aws:sns:eu-west-1:123456789012:alarms' } };
    const commands = [...everyPage.matchAll(/^ *npx cdk (?:diff|deploy|synth|destroy).*$/gm)].map(String);
    expect(commands.length).toBeGreaterThan(5);
    for (const command of commands) {
      const given = [...command.matchAll(/-c (\w+)=(\S+)/g)].map(([, key = '', value = '']) => [key, value]);
      expect(parseSettings({ ...cdkJson.context, stages, ...Object.fromEntries(given) })).toEqual({
        settings: { stage: 'prod', ...stages.prod },
      });
    }
  });

  test('every stage in the repository’s cdk.json has settings that are accepted', () => {
    const { context } = cdkJson;
    for (const stage of Object.keys(context.stages)) {
      expect(parseSettings({ ...context, stage })).toHaveProperty('settings.stage', stage);
    }
  });
});
