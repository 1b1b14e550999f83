import { expect, test } from 'vitest';
import { elementsSchema } from '../../../functions/model/elements.ts';
import { problemsOf } from '../../../functions/model/validation.ts';

function faultsOf(elements: unknown): string[] {
  const { error } = elementsSchema.safeParse(elements);
  return error ? problemsOf(error, elements).map(({ path, detail }) => `${path.join(' ')} ${detail}`) : [];
}

test('an element has required and allowed entries, addresses, defaults and a ping', () => {
  const elements = {
    shop: {
      required: ['api.key'],
      allowed: { 'is.test': 'flag', 'page.size': 'count', language: { oneOf: ['en'] } },
      addresses: {
        subdomain: 'dns-label',
        'base.url': { origins: ['https://one.example'] },
        region: { oneOf: ['eu'] },
      },
      defaults: { 'page.size': 5, poller: { url: '/x' } },
      ping: false,
    },
    other: {},
  };
  expect(elementsSchema.parse(elements)).toEqual(elements);
});

const form = '"flag", "count" or {"oneOf": ["…"]}';
const addressForm = '"dns-label", {"origins": ["https://…"]} or {"oneOf": ["…"]}';

test.each<[unknown, string]>([
  [5, ' expected an object with an entry for each element'],
  [{ shop: 5 }, 'shop expected an object with required, allowed, addresses, defaults or ping'],
  [{ shop: { reqired: [] } }, 'shop expected an object with required, allowed, addresses, defaults or ping'],
  [{ shop: { required: 'api.key' } }, 'shop required expected a list of names of configuration entries'],
  [{ shop: { required: [5] } }, 'shop required 0 expected the name of a configuration entry'],
  [{ shop: { allowed: [] } }, 'shop allowed expected an object with the form of each entry'],
  [{ shop: { allowed: { size: 'dns-label' } } }, `shop allowed size expected ${form}`],
  [{ shop: { allowed: { size: { oneOf: [5] } } } }, `shop allowed size expected ${form}`],
  [{ shop: { allowed: { size: { oneOf: [] } } } }, 'shop allowed size oneOf expected at least one text'],
  [
    { shop: { allowed: { size: { oneOf: ['a'], origins: ['b'] } } } },
    'shop allowed size origins is not a known field',
  ],
  [{ shop: { addresses: [] } }, 'shop addresses expected an object with the form of each entry'],
  [{ shop: { addresses: { host: 'flag' } } }, `shop addresses host expected ${addressForm}`],
  [
    { shop: { addresses: { host: { origins: [] } } } },
    'shop addresses host origins expected at least one origin',
  ],
  [{ shop: { addresses: { host: { origins: [5] } } } }, `shop addresses host expected ${addressForm}`],
  [{ shop: { defaults: [] } }, 'shop defaults expected an object with the value of each entry'],
  [{ shop: { ping: 'no' } }, 'shop ping expected true or false'],
])('the elements %j are refused, with the place and what belongs there', (elements, fault) => {
  expect(faultsOf(elements)).toEqual([fault]);
});
