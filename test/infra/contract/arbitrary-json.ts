import * as fc from 'fast-check';
import type { JsonSchema } from '../../../infra/contract/json-schema.ts';
import { openAjv } from './validating.ts';

const ajv = openAjv();

/** Values that the schema allows; for schemas without `$ref`. */
export function valuesOf(schema: JsonSchema | boolean): fc.Arbitrary<unknown> {
  if (typeof schema === 'boolean') return fc.jsonValue();
  const { const: constant, enum: choices, anyOf, type, properties, items, additionalProperties } = schema;
  if (constant !== undefined) return fc.constant(constant);
  if (choices) return fc.constantFrom(...choices);
  if (anyOf) return fc.oneof(...anyOf.map((each) => valuesOf(each)));
  switch (type) {
    case 'string': {
      const isAllowed = ajv.compile(schema);
      return stringsOf(schema).filter((text) => isAllowed(text));
    }
    case 'array':
      return fc.array(valuesOf(itemsOf(items)), { maxLength: schema.maxItems ?? 5 });
    case 'object': {
      if (properties) {
        const model = Object.fromEntries(
          Object.entries(properties).map(([name, each]) => [name, valuesOf(each)]),
        );
        return fc
          .record(model, { requiredKeys: schema.required ?? [] })
          .filter((value) => Object.keys(value).length >= (schema.minProperties ?? 0));
      }
      const names = valuesOf(schema.propertyNames ?? { type: 'string' }).map(String);
      return fc.dictionary(names, valuesOf(additionalProperties ?? true), { maxKeys: 4 });
    }
    case 'boolean':
      return fc.boolean();
    case 'number':
      return fc.double({ noNaN: true, noDefaultInfinity: true });
    case 'integer':
    case 'null':
    case undefined:
    default:
      return fc.jsonValue();
  }
}

function itemsOf(items: JsonSchema['items']): JsonSchema | boolean {
  return Array.isArray(items) ? true : (items ?? true);
}

/** Any code point but half of a pair: unlike fast-check's own "binary", without a table of all of them. */
const codePoints = fc.oneof(fc.integer({ min: 0, max: 0xd7ff }), fc.integer({ min: 0xe000, max: 0x10ffff }));

const freeText = fc.oneof(
  fc.string({ unit: 'grapheme', maxLength: 255 }),
  fc.array(codePoints, { maxLength: 255 }).map((points) => String.fromCodePoint(...points)),
);

function stringsOf({ pattern, format }: JsonSchema): fc.Arbitrary<string> {
  if (format === 'date-time') {
    return fc
      .date({ noInvalidDate: true, min: new Date(0), max: new Date(4e12) })
      .map((date) => date.toISOString());
  }
  // fast-check cannot draw from lookaheads: free text is drawn, and filtered by the caller.
  if (pattern && !pattern.includes('(?=')) return fc.stringMatching(new RegExp(pattern));
  return freeText;
}

/** Values that are invalid in most places, and values at the limits of some. */
export const oddities: readonly unknown[] = [
  null,
  true,
  0,
  -1.5,
  1e300,
  '',
  ' \t',
  '\u0000',
  '<b>Acme</b>',
  '\ud800',
  '../../etc/passwd',
  "'; DROP TABLE tenants; --",
  '{{7*7}}',
  'tenant:acme',
  ' OwnEr : me',
  'Provision:',
  'providers:none',
  'my owner:me',
  '\ufeff',
  [],
  {},
  ['a', 1],
  ...[20, 21].map((length) => Array.from({ length }, (_, index) => `tag-${index}`)),
  ...[64, 65, 128, 129, 255, 256].map((length) => 'x'.repeat(length)),
  ...[127, 128].map((length) => '\u{1f511}'.repeat(length)),
];

const oddNames = fc.constantFrom(
  'providerData',
  'constructor',
  '__proto__',
  'toString',
  '',
  'a b',
  'Element',
  'base.url',
  'x'.repeat(128),
  'x'.repeat(129),
);

type Damage = { at: number; kind: 'replace' | 'remove' | 'add'; value: unknown; name: string };

/** The values, each with one part replaced, removed or added: most of them wrong, some still right. */
export function damaged(values: fc.Arbitrary<unknown>): fc.Arbitrary<unknown> {
  const damages: fc.Arbitrary<Damage> = fc.record({
    at: fc.nat(),
    kind: fc.constantFrom('replace', 'replace', 'remove', 'add'),
    value: fc.oneof(
      { weight: 3, arbitrary: fc.constantFrom(...oddities) },
      { weight: 1, arbitrary: fc.jsonValue() },
    ),
    name: oddNames,
  });
  return fc.tuple(values, damages).map(([value, damage]) => withDamage(value, damage));
}

function withDamage(value: unknown, damage: Damage): unknown {
  const places = placesIn(value);
  return change(value, places[damage.at % places.length] ?? [], damage);
}

/** Paths to all parts, the whole included. */
function placesIn(value: unknown): string[][] {
  if (typeof value !== 'object' || value === null) return [[]];
  return [
    [],
    ...Object.entries(value).flatMap(([key, part]) => placesIn(part).map((path) => [key, ...path])),
  ];
}

function change(value: unknown, [key, ...rest]: readonly string[], damage: Damage): unknown {
  const isObject = typeof value === 'object' && value !== null;
  if (key === undefined) {
    if (damage.kind !== 'add' || !isObject || Array.isArray(value)) return damage.value;
    // An own property even when it is called `__proto__`, as `JSON.parse` makes it.
    return Object.fromEntries([...Object.entries(value), [damage.name, damage.value]]);
  }
  if (!isObject) return value;
  const changed = Object.entries(value).flatMap(([each, part]) => {
    if (each !== key) return [[each, part]];
    if (damage.kind === 'remove' && rest.length === 0) return [];
    return [[each, change(part, rest, damage)]];
  });
  return Array.isArray(value) ? changed.map(([, part]) => part) : Object.fromEntries(changed);
}

/** Edge cases for every schema of an object: each of its fields alone, missing, and odd. */
export function edgesOf({ properties = {}, examples: [example] = [] }: JsonSchema): unknown[] {
  if (typeof example !== 'object' || example === null) throw new Error('The schema has no example.');
  return [
    {},
    example,
    ...Object.entries(example).map(([name, value]) => ({ [name]: value })),
    ...Object.keys(properties).map((name) => ({ ...example, [name]: undefined })),
    ...Object.entries(properties).flatMap(([name, property]) => {
      const isList = typeof property === 'object' && property.type === 'array';
      return oddities.flatMap((odd) => [
        { ...example, [name]: odd },
        ...(isList ? [{ ...example, [name]: [odd] }] : []),
      ]);
    }),
  ];
}
