import { openApiDocument } from '../../../infra/contract/openapi.ts';
import * as z from 'zod/mini';

/**
 * The OpenAPI document as Schemathesis can generate requests from it. Its regular expressions are Python's, without
 * Unicode categories; and JSON Schema cannot say everything: which entries an element takes, or that a text must not look
 * like a credential. So there are two documents: by the first all requests are valid, by the second none is.
 */

type Json = Record<string, unknown>;
const objectSchema = z.record(z.string(), z.unknown());
const schemasSchema = z.looseObject({
  components: z.looseObject({ schemas: z.record(z.string(), objectSchema) }),
});

/** The local gateway checks no signatures. */
const unsigned = { security: [] };

/** Replaces schemas, from the inside out. */
function replaced(json: unknown, replace: (schema: Json) => Json): unknown {
  if (Array.isArray(json)) return json.map((each) => replaced(each, replace));
  const object = objectSchema.safeParse(json).data;
  if (!object) return json;
  return replace(
    Object.fromEntries(Object.entries(object).map(([name, value]) => [name, replaced(value, replace)])),
  );
}

const text = { type: 'string', pattern: '^[A-Za-z][A-Za-z0-9]{0,30}$' };

/** Every entry, so that a change after a request has them all. */
const configuration = {
  type: 'object',
  properties: {
    'api.key': text,
    'pagination.max': { enum: ['50', 100] },
    'filter.response.nulls': { enum: ['true', false] },
  },
  required: ['api.key', 'pagination.max', 'filter.response.nulls'],
  additionalProperties: false,
};

const isElementKey = ({ pattern }: Json) => pattern === '^[a-z0-9][a-z0-9_-]*$';
const isPlainText = ({ pattern }: Json) => typeof pattern === 'string' && pattern.includes(String.raw`\p{`);

/**
 * Narrower than the service: everything that it describes is accepted.
 * @param importable ids of instances that exist at Cloud Elements
 */
export function documentOfValidRequests({ importable }: { importable: readonly number[] }): unknown {
  const document = replaced({ ...openApiDocument(), ...unsigned }, (schema) => {
    if (isElementKey(schema)) return { enum: ['taxify', 'stripe'] };
    if (isPlainText(schema)) return text;
    const { parameters } = schema;
    // Opaque: only one that the service has given out is valid.
    if (Array.isArray(parameters)) {
      return {
        ...schema,
        parameters: parameters.filter((each) => objectSchema.parse(each)['name'] !== 'cursor'),
      };
    }
    return schema;
  });
  const { components, ...rest } = schemasSchema.parse(document);
  const { InstanceRequest = {}, InstanceUpdate = {}, ImportRequest = {}, ...schemas } = components.schemas;
  return {
    ...rest,
    components: {
      ...components,
      schemas: {
        ...schemas,
        ImportRequest: {
          ...ImportRequest,
          properties: { ...objectSchema.parse(ImportRequest['properties']), id: { enum: importable } },
        },
        InstanceRequest: {
          ...InstanceRequest,
          properties: { ...objectSchema.parse(InstanceRequest['properties']), configuration },
          required: ['element', 'configuration'],
        },
        InstanceUpdate: {
          ...without(InstanceUpdate, ['not']),
          properties: {
            // Id and element have to be those of the instance; the last changes nothing.
            ...without(objectSchema.parse(InstanceUpdate['properties']), ['id', 'element', 'providerData']),
            configuration,
          },
          minProperties: 1,
        },
      },
    },
  };
}

/**
 * Wider than the service: everything that it excludes is refused. By the examples a request is valid but for the one
 * thing that it breaks, so that nothing else is the reason.
 */
export function documentOfInvalidRequests(): unknown {
  const document = replaced({ ...openApiDocument(), ...unsigned }, (schema) => {
    if (isElementKey(schema)) return { ...schema, examples: ['taxify'] };
    return isPlainText(schema) ? { ...without(schema, ['pattern', 'not']), examples: ['Shop'] } : schema;
  });
  const { components, ...rest } = schemasSchema.parse(document);
  const { InstanceRequest = {} } = components.schemas;
  const properties = objectSchema.parse(InstanceRequest['properties']);
  const entries = objectSchema.parse(properties['configuration']);
  return {
    ...rest,
    components: {
      ...components,
      schemas: {
        ...components.schemas,
        InstanceRequest: {
          ...InstanceRequest,
          properties: {
            ...properties,
            configuration: {
              ...entries,
              properties: { 'api.key': objectSchema.parse(entries['additionalProperties']) },
              examples: [{ 'api.key': 'any' }],
            },
          },
        },
      },
    },
  };
}

const without = (object: Json, names: readonly string[]): Json =>
  Object.fromEntries(Object.entries(object).filter(([name]) => !names.includes(name)));
