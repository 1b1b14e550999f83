import { existsSync, globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { describe, expect, test } from 'vitest';
import { errorCodes } from '../functions/model/errors.ts';
import { instanceRowSchema } from '../functions/model/instance.ts';
import { metrics } from '../functions/model/metric-names.ts';
import { type Trigger, triggers } from '../functions/triggers.ts';
import { savedQueries } from '../infra/monitoring/saved-queries.ts';
import { pageAt, pages, root } from './support/pages.ts';
import { storedName } from '../functions/model/table.ts';

/** What a reader sees as text: code blocks have no headings and no links. */
const proseOf = (text: string): string => text.replaceAll(/^```.*?^```$/gms, '');

/** As GitHub makes them. */
const anchorOf = (heading: string): string =>
  heading
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(' ', '-');

const anchorsOf = (text: string, level = '#+'): string[] =>
  [...proseOf(text).matchAll(new RegExp(`^${level} (.+)$`, 'gm'))].map(([, heading = '']) =>
    anchorOf(heading),
  );

const linksOf = (text: string): string[] =>
  [...proseOf(text).matchAll(/\]\(([^)\s]+)\)/g)].flatMap(([, link = '']) =>
    /^https?:/.test(link) ? [] : [link],
  );

/** A page by its path, also by that of its folder. */
function targetOf(from: string, link: string): { path: string; anchor: string | undefined } {
  const [file = '', anchor] = link.split('#');
  return { path: file === '' ? from : normalize(join(dirname(from), file)), anchor };
}

describe.each(pages.map(({ path, text }) => [path, text]))('%s', (path, text) => {
  test('links to files and headings that exist', () => {
    const links = linksOf(text);
    const broken = links.filter((link) => {
      const { path: target, anchor } = targetOf(path, link);
      if (!existsSync(join(root, target))) return true;
      if (anchor === undefined) return false;
      return !anchorsOf(pageAt(target)).includes(anchor);
    });
    expect(links.length).toBeGreaterThan(0);
    expect(broken).toEqual([]);
  });

  test('no page has two headings with the same anchor', () => {
    const anchors = anchorsOf(text);
    expect(anchors.filter((anchor, index) => anchors.indexOf(anchor) !== index)).toEqual([]);
  });

  test('links to each of its sections', () => {
    const links = linksOf(text);
    expect(anchorsOf(text, '##').filter((anchor) => !links.includes(`#${anchor}`))).toEqual([]);
  });

  test('names files and folders of the project that exist', () => {
    const named = [...text.matchAll(/`((?:functions|infra|test)\/[\w./-]+)`/g)].map(([, name = '']) => name);
    expect(named.filter((name) => !existsSync(join(root, name)))).toEqual([]);
  });
});

test('the front page has at most 1,500 words and leads to every other page', () => {
  const front = pageAt('README.md');
  expect(front.split(/\s+/).length).toBeLessThanOrEqual(1_500);
  const targets = new Set(linksOf(front).map((link) => targetOf('README.md', link).path));
  const others = pages.map(({ path }) => path).filter((path) => path !== 'README.md');
  expect(others.filter((path) => !targets.has(path))).toEqual([]);
  expect(others.length).toBeGreaterThan(4);
});

test('functions/README.md has every route, error code and attribute of a row', () => {
  const text = pageAt('functions/README.md');
  const rows: Trigger[] = Object.values(triggers);
  const expected = [
    ...rows.flatMap(({ http }) => (http ? [http] : [])),
    ...Object.keys(errorCodes),
    ...Object.keys(instanceRowSchema.def.shape).map(storedName),
  ];
  expect(expected.filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});

test('infra/monitoring/README.md has every metric', () => {
  const text = pageAt('infra/monitoring/README.md');
  expect(Object.keys(metrics).filter((name) => !text.includes(`\`${name}\``))).toEqual([]);
});

test('the runbook’s queries are the stack’s saved queries', () => {
  const searches = pageAt('infra/monitoring/README.md').matchAll(/^search '(.*)'/gm);
  const queries = new Set([...searches].map(([, query = '']) => query));
  expect([...queries].toSorted()).toEqual(Object.values(savedQueries).toSorted());
});

test('the runbook searches for messages and outcomes that the functions log', () => {
  const text = pageAt('infra/monitoring/README.md');
  const searches = [...text.matchAll(/^search '(.*)'/gm)].map(([, query = '']) => query).join('\n');
  const messages = [
    ...[...searches.matchAll(/message = "([\w-]+)"/g)].map(([, name = '']) => name),
    ...[...searches.matchAll(/message in \[([^\]]*)\]/g)].flatMap(
      ([, list = '']) => list.match(/[\w-]+/g) ?? [],
    ),
  ];
  const outcomes = [...searches.matchAll(/outcome !?= "([\w-]+)"/g)].map(([, name = '']) => name);
  const sources = globSync('functions/**/*.ts', { cwd: root })
    .map((file) => readFileSync(join(root, file), 'utf8'))
    .join('\n');
  // An observation's kind is the message of its line.
  const isLogged = (name: string) => sources.includes(`kind: '${name}'`) || sources.includes(`('${name}', `);
  expect(messages.length).toBeGreaterThan(10);
  expect(outcomes.length).toBeGreaterThan(1);
  expect(messages.filter((name) => !isLogged(name))).toEqual([]);
  expect(outcomes.filter((name) => !sources.includes(`'${name}'`))).toEqual([]);
});
