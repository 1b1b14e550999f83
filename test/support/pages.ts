import { globSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

export const root = fileURLToPath(new URL('../../', import.meta.url));

/** Every README.md of the project: its path from the root, and its text. */
export const pages: readonly { path: string; text: string }[] = ['README.md', 'functions', 'infra', 'test']
  .flatMap((name) =>
    name.endsWith('.md')
      ? [name]
      : globSync(`${name}/**/README.md`, { cwd: root, exclude: ['**/node_modules/**', '**/cdk.out/**'] }),
  )
  .map((path) => ({ path, text: readFileSync(join(root, path), 'utf8') }));

/** All pages as one text. */
export const everyPage = pages.map(({ text }) => text).join('\n');

export function pageAt(path: string): string {
  const page = pages.find((each) => each.path === path);
  if (!page) throw new Error(`There is no page ${path}.`);
  return page.text;
}

/** The fenced code blocks in one language. */
export const blocksOf = (text: string, language: string): string[] =>
  [...text.matchAll(new RegExp(`^\`\`\`${language}\\n(.*?)^\`\`\`$`, 'gms'))].map(([, block = '']) => block);
