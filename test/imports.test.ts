import { globSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

const root = fileURLToPath(new URL('../', import.meta.url));

/** What each room may import of the project, beside its own files: the longest path that fits counts. */
const rooms: Record<string, readonly string[]> = {
  'functions/triggers.ts': [],
  'functions/model/': [],
  'functions/core/': ['functions/model/'],
  'functions/adapters/': ['functions/model/', 'functions/core/ports.ts'],
  'functions/runtime/': ['functions/adapters/', 'functions/core/', 'functions/model/'],
  'functions/': ['functions/'],
  'infra/cli/': ['infra/', 'functions/model/', 'functions/triggers.ts'],
  // Reads Cloud Elements as the functions do.
  'infra/cli/discover/': [
    'infra/',
    'functions/model/',
    'functions/core/ports.ts',
    'functions/adapters/cloud-elements.ts',
    'functions/adapters/cloud-elements-http.ts',
    'functions/adapters/secrets.ts',
  ],
  // The operator's command writes the table by the same rules as the functions.
  'infra/cli/trust/': [
    'infra/',
    'functions/model/',
    'functions/core/trust.ts',
    'functions/adapters/instance-store.ts',
  ],
  // Reads Cloud Elements with the functions' own client and credentials.
  'infra/cli/requirements/': [
    'infra/',
    'functions/model/',
    'functions/adapters/cloud-elements-http.ts',
    'functions/adapters/secrets.ts',
  ],
  'infra/': ['infra/', 'functions/model/', 'functions/triggers.ts'],
};
/** Nothing imports a command, and no command imports the local stack but those that start it. */
const forbidden: readonly (readonly [string, string])[] = [
  ['infra/(?!cli/)', 'infra/cli/'],
  ['infra/cli/(?!start\\.ts|demo\\.ts)', 'infra/local/'],
];

const files = ['functions', 'infra'].flatMap((room) => globSync(`${room}/**/*.{ts,js}`, { cwd: root }));

function importsOf(file: string): string[] {
  const source = readFileSync(join(root, file), 'utf8');
  return [...source.matchAll(/(?:from|import)\s*\(?\s*'(\.[^']+\.[jt]s)'/g)].map(([, path = '']) =>
    normalize(join(dirname(file), path)),
  );
}

test('imports go one way, from handlers to the model, and infra reads only the model and the trigger table', () => {
  const wrong = files.flatMap((file) => {
    const room = Object.keys(rooms)
      .filter((name) => file.startsWith(name))
      .toSorted((a, b) => b.length - a.length)[0];
    const allowed = [room ?? '', ...(rooms[room ?? ''] ?? [])];
    return importsOf(file)
      .filter(
        (imported) =>
          !allowed.some((name) => imported.startsWith(name)) ||
          forbidden.some(([from, to]) => new RegExp(`^${from}`).test(file) && imported.startsWith(to)),
      )
      .map((imported) => `${file} imports ${relative('', imported)}`);
  });
  expect(files.length).toBeGreaterThan(100);
  expect(wrong).toEqual([]);
});
