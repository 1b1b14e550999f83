import { Ajv2020, type ErrorObject } from 'ajv/dist/2020.js';
import addFormats from 'ajv-formats';

export type Faults = readonly string[];

/**
 * Validates by the parts of a document that holds JSON Schemas (2020-12).
 * @returns the faults of a value by the schema at a place such as `/components/schemas/Instance`
 */
export function createValidator(document: object) {
  const ajv = openAjv();
  ajv.addSchema({ ...document, $id: 'document' });

  return (at: string, value: unknown): Faults => {
    const validate = ajv.getSchema(`document#${at}`);
    if (!validate) throw new Error(`The document has no schema at ${at}.`);
    void validate(value);
    return (validate.errors ?? []).map(faultOf);
  };
}

export function openAjv(): Ajv2020 {
  // Not strict, because OpenAPI has keywords that JSON Schema does not.
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  addFormats.default(ajv);
  return ajv;
}

function faultOf({ instancePath, message, params }: ErrorObject): string {
  return `${instancePath || '(all)'} ${message} ${JSON.stringify(params)}`;
}

/** JSON Pointer (RFC 6901) as URI fragment. */
export function pointer(...parts: readonly string[]): string {
  return parts
    .map((part) => `/${encodeURIComponent(part.replaceAll('~', '~0').replaceAll('/', '~1'))}`)
    .join('');
}

/**
 * The document with every object closed to unnamed fields. The real one leaves objects open, because clients must accept
 * new fields; an undocumented field is a fault nevertheless.
 */
export function closed<Part>(part: Part): Part;
export function closed(part: unknown): unknown {
  if (Array.isArray(part)) return part.map((item) => closed(item));
  if (typeof part !== 'object' || part === null) return part;
  const entries = Object.entries(part).map(([key, value]) => [key, closed(value)]);
  const isObjectSchema = 'type' in part && part.type === 'object' && 'properties' in part;
  const isOpen = isObjectSchema && !('additionalProperties' in part);
  return { ...Object.fromEntries(entries), ...(isOpen && { additionalProperties: false }) };
}
