import * as fc from 'fast-check';
import type { InjectedFault } from '../../../infra/local/cloud-elements/simulator.ts';
import { damaged, edgesOf, valuesOf } from './arbitrary-json.ts';
import type { Contract, Operation } from './http-contract.ts';

export type FuzzRequest = {
  operationId: string;
  /** Path parameters by name, not yet encoded. */
  path: Readonly<Record<string, string>>;
  body: string | undefined;
  contentType: string;
  /** Cloud Elements' fault for all calls of this request. */
  injectedFault: InjectedFault | undefined;
};

/** These repeat, so that requests meet the rows of others. */
const namesThatReturn: Readonly<Record<string, fc.Arbitrary<string>>> = {
  tenantId: fc.constantFrom('acme', 'globex', 'a.b-c_d'),
  elementKey: fc.constant('taxify'),
  status: fc.constantFrom('active', 'failed'),
  element: fc.constant('taxify'),
  limit: fc.constantFrom('1', '1000'),
  cursor: fc.constant(''),
};

const oddNames = fc.constantFrom(
  '',
  '.',
  '..',
  'a..b',
  'a/b',
  ' acme',
  'acme%2F',
  'acme\u0000',
  'köln',
  '\u{1f511}',
  '-acme',
  'tenant:acme',
  'x'.repeat(64),
  'x'.repeat(65),
  '__proto__',
  'constructor',
);

/** Only faults that end quickly: an unknown outcome is looked up for as long as there is time. */
const injectedFaults = fc.constantFrom<InjectedFault>(
  { effect: 'none', outcome: { kind: 'status', status: 400 } },
  { effect: 'none', outcome: { kind: 'status', status: 401 } },
  { effect: 'none', outcome: { kind: 'status', status: 403, body: '<html>403</html>' } },
  { effect: 'none', outcome: { kind: 'status', status: 404 } },
  { effect: 'none', outcome: { kind: 'status', status: 429, headers: { 'retry-after': '3600' } } },
  { effect: 'none', outcome: { kind: 'echo-credentials' } },
);

const notOrHardlyJson = fc.constantFrom('', '{', 'null', '"acme"', '[]', '{"name":"a",}', 'NaN');

const contentTypes = fc.oneof(
  { weight: 12, arbitrary: fc.constant('application/json') },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      'application/json; charset=utf-8',
      'application/merge-patch+json',
      'text/plain',
      'x',
    ),
  },
);

/** Requests to all operations, both allowed by the contract and not. */
export function requestsBy(contract: Contract): fc.Arbitrary<FuzzRequest> {
  return fc.oneof(
    ...contract.operations.map((operation) => {
      const schema = contract.bodySchemaOf(operation);
      return fc.record({
        operationId: fc.constant(operation.object.operationId),
        path: pathsOf(operation),
        body: schema ? bodiesOf(valuesOf(schema)) : bodiesWhereNoneBelongs,
        contentType: contentTypes,
        injectedFault: fc.option(injectedFaults, { freq: 5, nil: undefined }),
      });
    }),
  );
}

/** Requests with bodies just within or beyond limits. Cloud Elements refuses the valid ones, so none leaves a row. */
export function edgeRequestsBy(contract: Contract): FuzzRequest[] {
  return contract.operations.flatMap((operation) => {
    const schema = contract.bodySchemaOf(operation);
    return (schema ? edgesOf(schema) : []).map((body) => ({
      operationId: operation.object.operationId,
      path: { tenantId: 'edge', elementKey: 'taxify' },
      body: JSON.stringify(body),
      contentType: 'application/json',
      injectedFault: { effect: 'none', outcome: { kind: 'status', status: 400 } },
    }));
  });
}

function pathsOf({ object }: Operation): fc.Arbitrary<Record<string, string>> {
  const namesOf = ({ name, schema }: (typeof object.parameters)[number]) =>
    fc.oneof(
      { weight: 12, arbitrary: namesThatReturn[name] ?? fc.constant(name) },
      { weight: 2, arbitrary: valuesOf(schema).map(String) },
      { weight: 1, arbitrary: oddNames },
    );
  const required = object.parameters.flatMap(({ name, required: isRequired }) => (isRequired ? [name] : []));
  return fc.record(Object.fromEntries(object.parameters.map((each) => [each.name, namesOf(each)])), {
    requiredKeys: required,
  });
}

const bodiesWhereNoneBelongs = fc.oneof(
  { weight: 9, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fc.json() },
);

function bodiesOf(values: fc.Arbitrary<unknown>): fc.Arbitrary<string> {
  return fc.oneof(
    { weight: 4, arbitrary: values.map((value) => JSON.stringify(withCredentials(value))) },
    { weight: 4, arbitrary: values.map((value) => JSON.stringify(value)) },
    { weight: 8, arbitrary: damaged(values).map((value) => JSON.stringify(value) ?? '') },
    { weight: 1, arbitrary: notOrHardlyJson },
  );
}

/** Adds credentials, because a random body seldom names an existing element and its key. */
function withCredentials(value: unknown): unknown {
  if (typeof value !== 'object' || value === null) return value;
  return {
    ...value,
    ...('element' in value && { element: { key: 'taxify' } }),
    configuration: { 'api.key': 'any' },
  };
}
