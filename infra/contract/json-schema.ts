import * as z from 'zod/mini';
import * as entryName from '../../functions/model/entry-name.ts';
import {
  elementKeySchema,
  entryNameSchema,
  instanceUpdateSchema,
  tagSchema,
  unchangingFields,
} from '../../functions/model/instance.ts';
import { reservedTagPrefixes } from '../../functions/model/markers.ts';

export type JsonSchema = z.core.JSONSchema.BaseSchema;

export type SchemaNotes = { title?: string; description?: string; examples?: unknown[] };
export type NamedSchema = { schema: z.core.$ZodType; notes?: SchemaNotes };

/** JSON Schemas of refinements, which zod knows as code only. A test sends both sides of each to the functions. */
const refinements = new Map<z.core.$ZodType, JsonSchema>([
  // JSON has no `undefined`: a present field has a value. Some fields change nothing.
  [instanceUpdateSchema, { not: { propertyNames: { enum: [...unchangingFields] } } }],
  [entryNameSchema, entryNames()],
  [elementKeySchema, elementKeys()],
  [tagSchema, { not: { pattern: `^\\s*(${reservedTagPrefixes.map(inAnyCase).join('|')})\\s*:` } }],
]);

/** The rule of `isElementKey`, but for the pairs of letters that it counts. */
function elementKeys(): JsonSchema {
  const { maxDigitsOfKey, maxTurnsOfKey } = entryName;
  return {
    not: {
      anyOf: [
        { pattern: `(\\d\\D*){${maxDigitsOfKey + 1}}` },
        { pattern: `(([a-z](?=\\d)|\\d(?=[a-z])).*?){${maxTurnsOfKey + 1}}` },
      ],
    },
  };
}

/** The rule of `isEntryName`, but for the words that it counts; every name in the catalog matches it. */
function entryNames(): JsonSchema {
  const { maxLength, maxSegments, maxLettersOfSegment, maxDigits } = entryName;
  const segment = entryName.segmentPattern.source.slice(1, -1);
  return {
    maxLength,
    pattern: `^${segment}([._-]${segment}){0,${maxSegments - 1}}$`,
    not: {
      anyOf: [
        { pattern: `(\\d\\D*){${maxDigits + 1}}` },
        { pattern: `[A-Za-z]{${maxLettersOfSegment + 1}}` },
      ],
    },
  };
}

/** JSON Schema's patterns have no flags. */
function inAnyCase(word: string): string {
  return word.replaceAll(/[a-z]/g, (letter) => `[${letter}${letter.toUpperCase()}]`);
}

/**
 * JSON Schemas (2020-12) of zod schemas, which refer to each other by name. They describe the input, and take their
 * descriptions from the messages of the zod schemas.
 * @param refOf the reference to a schema, for example `#/components/schemas/Instance`
 */
export function jsonSchemasOf(
  named: Readonly<Record<string, NamedSchema>>,
  refOf: (name: string) => string,
): Record<string, JsonSchema> {
  const registry = z.registry<SchemaNotes & { id: string }>();
  for (const [id, { schema, notes }] of Object.entries(named)) registry.add(schema, { ...notes, id });
  const { schemas } = z.toJSONSchema(registry, {
    // Not `output`, which closes every object: clients must accept new fields in a response.
    io: 'input',
    uri: refOf,
    metadata: registry,
    override: ({ zodSchema, jsonSchema }) => {
      const expected = expectationsOf(zodSchema);
      if (expected.length > 0) jsonSchema.description ??= expected.join('; ');
      // The pattern has hundreds of characters and adds nothing to the format.
      if (jsonSchema.format === 'date-time') delete jsonSchema.pattern;
      joinPatterns(jsonSchema);
      dropRefused(jsonSchema);
      Object.assign(jsonSchema, refinements.get(zodSchema));
    },
  });
  return Object.fromEntries(
    Object.entries(schemas).map(([name, { $id: _id, $schema: _schema, ...schema }]) => [name, schema]),
  );
}

/** Fields that are only there to be refused with a hint: the closed object refuses them anyway. */
function dropRefused({ properties = {}, additionalProperties }: JsonSchema): void {
  if (additionalProperties !== false) return;
  for (const [name, schema] of Object.entries(properties)) {
    if (typeof schema === 'object' && schema.not && Object.keys(schema.not).length === 0)
      delete properties[name];
  }
}

/** One pattern in place of an `allOf` of patterns, which code generators take for an intersection of types. */
function joinPatterns(jsonSchema: JsonSchema): void {
  const patterns = jsonSchema.allOf?.map((each) =>
    Object.keys(each).length === 1 ? each.pattern : undefined,
  );
  if (!patterns || patterns.includes(undefined)) return;
  jsonSchema.pattern = `^${patterns.map((pattern) => `(?=[\\s\\S]*?(?:${pattern}))`).join('')}`;
  delete jsonSchema.allOf;
}

/** The messages of a schema and its checks, which describe the expected value. */
function expectationsOf({ _zod: { def } }: z.core.$ZodType): string[] {
  const checks = (def.checks ?? []).map(({ _zod: check }) => check.def);
  const errors = [...checks, def].map(({ error }) => error);
  return errors.flatMap((error) => {
    // Messages of this project are constant texts, the same for every issue.
    const message: unknown = error && Reflect.apply(error, undefined, [{}]);
    return typeof message === 'string' ? [message] : [];
  });
}
