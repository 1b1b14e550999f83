import type { JsonSchema } from '../../../infra/contract/json-schema.ts';
import type { OperationObject, Response } from '../../../infra/contract/openapi.ts';
import { openApiDocument } from '../../../infra/contract/openapi.ts';
import type { ReceivedResponse } from '../../support/running-service.ts';
import { closed, createValidator, pointer, type Faults } from './validating.ts';

export const methods = ['GET', 'POST', 'PATCH', 'DELETE'] as const;

export type Operation = { method: (typeof methods)[number]; path: string; object: OperationObject };

/** Headers of the connection, not of the response. */
const transportHeaders = new Set(['connection', 'content-length', 'date', 'keep-alive', 'transfer-encoding']);

export type Contract = ReturnType<typeof readContract>;

/** The OpenAPI document as clients use it: checks whether requests and responses match it. */
export function readContract() {
  const document = openApiDocument();
  const faultsOf = createValidator(closed(document));
  const operations: Operation[] = Object.entries(document.paths).flatMap(([path, objects]) =>
    methods.flatMap((method) => {
      const object = objects[method.toLowerCase()];
      return object ? [{ method, path, object }] : [];
    }),
  );

  const pointerTo = ({ path, method }: Operation, ...parts: readonly string[]) =>
    pointer('paths', path, method.toLowerCase(), ...parts);

  return {
    document,
    operations,

    operationOf(operationId: string): Operation {
      const operation = operations.find(({ object }) => object.operationId === operationId);
      if (!operation) throw new Error(`The document has no operation ${operationId}.`);
      return operation;
    },

    bodySchemaOf({ object }: Operation): JsonSchema | undefined {
      const name = object.requestBody?.content['application/json']?.schema.$ref?.split('/').at(-1);
      return name === undefined ? undefined : document.components.schemas[name];
    },

    faultsOfPath: (operation: Operation, values: Readonly<Record<string, string>>): Faults =>
      operation.object.parameters.flatMap(({ name, required }, index) =>
        !required && values[name] === undefined
          ? []
          : faultsOf(pointerTo(operation, 'parameters', String(index), 'schema'), values[name]),
      ),

    /** @param json undefined when there is no body */
    faultsOfBody(operation: Operation, json: unknown): Faults {
      const hasBody = operation.object.requestBody !== undefined;
      if (json === undefined) return hasBody ? ['is missing'] : [];
      // Said in words.
      if (!hasBody) return JSON.stringify(json) === '{}' ? [] : ['is not expected'];
      return faultsOf(pointerTo(operation, 'requestBody', 'content', 'application/json', 'schema'), json);
    },

    /** The parts of a response that the document does not describe. */
    faultsOfResponse(operation: Operation, result: ReceivedResponse): Faults {
      const status = String(result.status);
      const response = operation.object.responses[status];
      if (!response) return [`status ${status} is not described`];
      return [
        ...faultsOfHeaders(operation, response, result),
        ...faultsOfContent(operation, response, result),
      ];
    },
  };

  function faultsOfHeaders(
    operation: Operation,
    response: Response,
    { status, headers }: ReceivedResponse,
  ): Faults {
    const undescribed = Object.keys(headers).filter(
      (name) => name !== 'content-type' && !transportHeaders.has(name) && !(name in response.headers),
    );
    return [
      ...undescribed.map((name) => `header ${name} is not described`),
      ...Object.entries(response.headers).flatMap(([name, header]) => {
        const value = headers[name];
        if (value === undefined) {
          return 'required' in header && header.required ? [`header ${name} is missing`] : [];
        }
        if ('$ref' in header) return [];
        const parsed = header.schema.type === 'integer' ? Number(value) : value;
        const at = pointerTo(operation, 'responses', String(status), 'headers', name, 'schema');
        return faultsOf(at, parsed).map((fault) => `header ${name}: ${fault}`);
      }),
    ];
  }

  function faultsOfContent(
    operation: Operation,
    { content }: Response,
    { status, headers, text, json }: ReceivedResponse,
  ): Faults {
    if (!content) return text === '' ? [] : ['a body is not described'];
    const mediaType = mediaTypeOf(headers);
    if (!(mediaType in content)) return [`content type ${mediaType} is not described`];
    return faultsOf(pointerTo(operation, 'responses', String(status), 'content', mediaType, 'schema'), json);
  }
}

export function mediaTypeOf(headers: ReceivedResponse['headers']): string {
  return String(headers['content-type']).split(';')[0]?.trim() ?? '';
}
