import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { CdkJsonError, readStageEntry } from '../../infra/stage-entry.ts';

const directory = mkdtempSync(join(tmpdir(), 'stage-entry-'));
afterAll(() => rmSync(directory, { recursive: true }));

function entryIn(content: unknown, stage: string) {
  writeFileSync(join(directory, 'cdk.json'), typeof content === 'string' ? content : JSON.stringify(content));
  return readStageEntry(stage, directory);
}

const elements = { freshdeskv2: { addresses: { subdomain: 'dns-label' } } };
const nothing = { baseUrl: undefined, elements: {} };

test('a stage’s base URL and elements are read from its entry', () => {
  const baseUrl = 'https://api.cloud-elements.co.uk';
  const stages = { prod: { baseUrl, elements, alarmTopicArn: 'any' }, dev: { elements: {} } };
  expect(entryIn({ app: 'any', context: { stages } }, 'prod')).toEqual({ baseUrl, elements });
});

test.each(['dev', 'dev-1'])('the stage %s has the entry of dev', (stage) => {
  expect(entryIn({ context: { stages: { dev: { elements } } } }, stage).elements).toEqual(elements);
});

test.each([
  ['a stage without an entry', { context: { stages: { dev: { elements } } } }, 'prod'],
  ['an inherited name', { context: { stages: { dev: { elements } } } }, 'toString'],
  ['an entry without elements', { context: { stages: { prod: {} } } }, 'prod'],
  ['a file without stages', { app: 'any' }, 'prod'],
])('%s has no elements of its own', (_what, content, stage) => {
  expect(entryIn(content, stage)).toEqual(nothing);
});

test('a directory without cdk.json has no elements of its own', () => {
  expect(readStageEntry('prod', join(directory, 'none'))).toEqual(nothing);
});

test.each([
  [
    'that are wrong',
    { context: { stages: { prod: { elements: { shop: { allowed: { site: 'flag' } } } } } } },
    /stages\.prod\.elements\.shop\.allowed\.site: by its name/,
  ],
  [
    'in no object',
    { context: { stages: { prod: { elements: [] } } } },
    /stages\.prod\.elements: expected an object/,
  ],
  ['in a file that is no JSON', '{', /cdk\.json cannot be read/],
])('elements %s are an error that names the place', (_what, content, message) => {
  expect(() => entryIn(content, 'prod')).toThrow(message);
  expect(() => entryIn(content, 'prod')).toThrow(CdkJsonError);
});
