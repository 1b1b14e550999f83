import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { CdkJsonError, readElements } from '../../infra/stage-elements.ts';

const directory = mkdtempSync(join(tmpdir(), 'stage-elements-'));
afterAll(() => rmSync(directory, { recursive: true }));

function elementsIn(content: unknown, stage: string) {
  writeFileSync(join(directory, 'cdk.json'), typeof content === 'string' ? content : JSON.stringify(content));
  return readElements(stage, directory);
}

const elements = { freshdeskv2: { addresses: { subdomain: 'dns-label' } } };

test('a stage’s elements are read from its entry', () => {
  const stages = { prod: { elements, alarmTopicArn: 'any' }, dev: { elements: {} } };
  expect(elementsIn({ app: 'any', context: { stages } }, 'prod')).toEqual(elements);
});

test.each(['dev', 'dev-1'])('the stage %s has the entry of dev', (stage) => {
  expect(elementsIn({ context: { stages: { dev: { elements } } } }, stage)).toEqual(elements);
});

test.each([
  ['a stage without an entry', { context: { stages: { dev: { elements } } } }, 'prod'],
  ['an inherited name', { context: { stages: { dev: { elements } } } }, 'toString'],
  ['an entry without elements', { context: { stages: { prod: {} } } }, 'prod'],
  ['a file without stages', { app: 'any' }, 'prod'],
])('%s has no elements of its own', (_what, content, stage) => {
  expect(elementsIn(content, stage)).toEqual({});
});

test('a directory without cdk.json has no elements of its own', () => {
  expect(readElements('prod', join(directory, 'none'))).toEqual({});
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
  expect(() => elementsIn(content, 'prod')).toThrow(message);
  expect(() => elementsIn(content, 'prod')).toThrow(CdkJsonError);
});
