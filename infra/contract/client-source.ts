import { readFileSync } from 'node:fs';
import packageJson from '../../package.json' with { type: 'json' };
import type { JsonSchema } from './json-schema.ts';
import { openApiDocument, problemJsonSchema } from './openapi.ts';

const source = new URL('client.ts', import.meta.url);

/** The import that the types and codes replace; the file then stands alone. */
const importOfTypes = /^import \{\s*problemCodes,([^}]*)\} from '\.\/client-types\.ts';\n/m;

/** The client as one file without imports but those of Node, its types written out from the OpenAPI document. */
export function clientSource(): string {
  const { schemas } = openApiDocument().components;
  const code = readFileSync(source, 'utf8');
  const [found, names] = importOfTypes.exec(code) ?? [];
  if (!found || !names)
    throw new Error('client.ts does not import its types and codes from client-types.ts.');
  const types = names
    .split(',')
    .map((each) => each.trim().replace(/^type /, ''))
    .filter((name) => name !== '')
    .map((name) => {
      const schema = name === 'Problem' ? problemJsonSchema : schemas[name];
      if (!schema) throw new Error(`The contract has no schema ${name}.`);
      return `export type ${name} = ${typeOf(schema)};\n`;
    });
  const header = `// Client of ${packageJson.name} ${packageJson.version}, printed by \`npm run -s contract -- client\`. Node 20 or newer.\n`;
  const codes = problemJsonSchema.properties?.['code'];
  types.push(
    `const problemCodes: readonly Problem['code'][] = ${JSON.stringify(typeof codes === 'object' ? codes.enum : [])};\n`,
  );
  return header + code.replace(found, () => `\n${types.join('\n')}`);
}

function typeOf(schema: JsonSchema): string {
  const { $ref, anyOf, enum: values, type, properties, items } = schema;
  if ($ref) return $ref.slice($ref.lastIndexOf('/') + 1);
  if (values) return values.map((value) => JSON.stringify(value)).join(' | ');
  if ('const' in schema) return JSON.stringify(schema.const);
  if (anyOf) return [...new Set(anyOf.map(typeOf))].join(' | ');
  if (type === 'array' && typeof items === 'object' && !Array.isArray(items)) return `(${typeOf(items)})[]`;
  if (type === 'object' && properties) return objectType(properties, schema.required ?? []);
  if (type === 'object') {
    const { additionalProperties: entry } = schema;
    return `{ [name: string]: ${typeof entry === 'object' ? typeOf(entry) : 'unknown'} }`;
  }
  if (type === 'integer') return 'number';
  return type === 'string' || type === 'number' || type === 'boolean' ? type : 'unknown';
}

function objectType(properties: NonNullable<JsonSchema['properties']>, required: readonly string[]): string {
  const fields = Object.entries(properties).map(([name, schema]) => {
    const isOptional = !required.includes(name);
    const shape = typeof schema === 'object' ? typeOf(schema) : 'unknown';
    return `${JSON.stringify(name)}${isOptional ? '?' : ''}: ${shape}${isOptional ? ' | undefined' : ''}`;
  });
  return `{ ${fields.join('; ')} }`;
}
