import { expect, test } from 'vitest';
import { loggableId } from '../../../functions/model/instance-id.ts';

test.each([4711, '4711', '-1', '98765432109876543210'])('the id %j is logged as it is', (id) => {
  expect(loggableId(id)).toBe(id);
});

test.each(['', 'secret', '47 11', '4711x', 'x4711', '4.7', '--1', '4711\n'])(
  'the text %j, which is no integer, is not logged',
  (id) => {
    expect(loggableId(id)).toBe('(not an integer)');
  },
);
