import { describe, expect, test } from 'vitest';
import {
  generationIn,
  isMarker,
  markerTags,
  namesAnother,
  namesOwner,
  ownershipOf,
  showsOwner,
  tenantIn,
  withoutMarkers,
} from '../../../functions/model/markers.ts';
import { fakePorts } from '../../support/fake-ports.ts';

const generation = '01234567-89ab-4cde-8f01-23456789abcd';
const owned = { tenantId: 'acme', elementKey: 'taxify', owner: 'prod' };
const mine = ['tenant:acme', 'owner:prod'];
const shown = (...tags: string[]) => ({ elementKey: 'taxify', tags });

test('the markers of a row are its tenant, its generation and the stage', () => {
  const row = { ...fakePorts().claimed(), provisionId: generation };
  expect(markerTags(row, 'prod')).toEqual(['tenant:acme', `provision:${generation}`, 'owner:prod']);
  expect(markerTags(row, 'prod').every(isMarker)).toBe(true);
});

describe('the ownership of an instance', () => {
  test.each([
    ['both markers', 'ours', mine],
    ['both markers among others', 'ours', ['eu', ...mine, `provision:${generation}`]],
    ['no tags', 'unmarked', []],
    ['the tenant alone', 'unmarked', ['tenant:acme']],
    ['the owner alone', 'unmarked', ['owner:prod']],
    ['longer tags that begin like the markers', 'unmarked', ['xtenant:acme', 'owner']],
    ['another tenant', 'not-ours', ['tenant:globex', 'owner:prod']],
    ['another tenant beside this one', 'not-ours', [...mine, 'tenant:globex']],
    ['another stage', 'not-ours', ['tenant:acme', 'owner:dev']],
    ['another stage beside this one', 'not-ours', [...mine, 'owner:dev']],
    ['another tenant alone', 'not-ours', ['tenant:globex']],
    ['another stage alone', 'not-ours', ['owner:dev']],
  ])('an instance with %s is %s', (_what, ownership, tags) => {
    expect(ownershipOf(shown(...tags), owned)).toBe(ownership);
    expect(namesAnother(shown(...tags), owned)).toBe(ownership === 'not-ours');
  });

  test('an instance of another element is not ours', () => {
    expect(ownershipOf({ elementKey: 'stripe', tags: mine }, owned)).toBe('not-ours');
    expect(namesAnother({ elementKey: 'stripe', tags: mine }, owned)).toBe(false);
  });
});

describe('the owner of an instance', () => {
  test.each([
    [['owner:prod'], true, true],
    [['eu', 'owner:dev'], true, false],
    [['owner', 'downer:prod', 'tenant:prod'], false, false],
    [[], false, false],
  ])('the tags %j name an owner: %s; this stage: %s', (tags, isNamed, isThisStage) => {
    expect([namesOwner({ tags }), showsOwner(shown(...tags), 'prod')]).toEqual([isNamed, isThisStage]);
  });
});

test.each([
  ['one tenant', ['eu', 'tenant:acme'], 'acme'],
  ['a tenant with a colon', ['tenant:a:b'], 'a:b'],
  ['two tenants', ['tenant:acme', 'tenant:globex'], undefined],
  ['no tenant', ['owner:prod', 'tenants:acme'], undefined],
])('the tenant of an instance that names %s is known only if it is one', (_what, tags, tenantId) => {
  expect(tenantIn(shown(...tags))).toBe(tenantId);
});

describe('the generation of an instance', () => {
  test.each([
    ['one generation', [...mine, `provision:${generation}`], generation],
    ['two generations', [`provision:${generation}`, `provision:${generation.replace('0', '9')}`], undefined],
    ['one and a team’s own tag', [`provision:${generation}`, 'provision:by-hand'], generation],
    ['none', mine, undefined],
    ['the text of one under another name', [`somewhere:${generation}`, generation], undefined],
  ])('the generation of an instance that names %s is known only if it is one', (_what, tags, id) => {
    expect(generationIn(shown(...tags))).toBe(id);
  });

  test.each([
    generation.toUpperCase(),
    `${generation}0`,
    `0${generation}`,
    generation.replaceAll('-', ''),
    generation.slice(1),
    generation.slice(0, -1),
    generation.replace('-4cde', ''),
    generation.replace('4cde', '4cd'),
    generation.replace('a', 'g'),
    'by-hand',
    '',
  ])('a team’s own tag provision:%s is no marker', (id) => {
    expect([isMarker(`provision:${id}`), generationIn(shown(`provision:${id}`))]).toEqual([false, undefined]);
  });
});

test('the tags without markers are those of the team, of no stage', () => {
  const tags = ['eu', 'tenant:acme', 'provision:by-hand', 'owner:other', `provision:${generation}`, 'owner'];
  expect(withoutMarkers(tags)).toEqual(['eu', 'provision:by-hand', 'owner']);
  expect(isMarker(`tenant:`)).toBe(true);
});
