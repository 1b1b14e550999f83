import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import * as z from 'zod/mini';
import { builtInCatalog, catalogWith } from '../functions/model/built-in-catalog.ts';
import type { Catalog } from '../functions/model/catalog.ts';
import type { Elements } from '../functions/model/elements.ts';
import { checkedElementsSchema } from './elements.ts';
import { isDisposable } from './settings.ts';

/** `cdk.json` cannot be used; the message names the faults. */
export class CdkJsonError extends Error {
  override readonly name = 'CdkJsonError';
}

const entrySchema = z.object({ elements: z.optional(checkedElementsSchema) });
const cdkJsonSchema = z.object({
  context: z.optional(z.object({ stages: z.optional(z.record(z.string(), z.unknown())) })),
});

/** The stage whose entry the local stack has, too. */
export const localStage = 'dev';

/**
 * Reads the elements of a stage's entry in `cdk.json`, in the working directory. A directory without the file, or a
 * stage without an entry, has none: then the stage was deployed from elsewhere.
 * @throws CdkJsonError
 */
export function readElements(stage: string, directory = process.cwd()): Elements {
  const file = join(directory, 'cdk.json');
  const { context } = parse(cdkJsonSchema, contentOf(file), file, []);
  const stages = context?.stages ?? {};
  const name = !Object.hasOwn(stages, stage) && isDisposable({ stage }) ? 'dev' : stage;
  const entry = Object.hasOwn(stages, name) ? stages[name] : {};
  return parse(entrySchema, entry, file, ['stages', name]).elements ?? {};
}

/**
 * The elements that a command's target knows. A table by its name has no stage, and so only those that come with the
 * service.
 * @throws CdkJsonError
 */
export function catalogFor(
  where: { stage: string } | { localPort: number } | { tableName: string },
): Catalog {
  if ('tableName' in where) return builtInCatalog;
  return catalogWith(readElements('stage' in where ? where.stage : localStage));
}

function contentOf(file: string): unknown {
  try {
    return JSON.parse(readFileSync(file, 'utf8'));
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return {};
    throw new CdkJsonError(`${file} cannot be read: ${error instanceof Error ? error.message : 'no reason'}`);
  }
}

function parse<T>(schema: z.ZodMiniType<T>, value: unknown, file: string, path: readonly string[]): T {
  const parsed = schema.safeParse(value);
  if (parsed.success) return parsed.data;
  const faults = parsed.error.issues.map(
    (issue) => `  ${[...path, ...issue.path.map(String)].join('.')}: ${issue.message}`,
  );
  throw new CdkJsonError([`Wrong settings in ${file}:`, ...faults].join('\n'));
}
