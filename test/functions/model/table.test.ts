import { describe, expect, test } from 'vitest';
import { fromStored, storedName, toStored } from '../../../functions/model/table.ts';
import { fakePorts } from '../../support/fake-ports.ts';

describe('the attributes of a row in the table', () => {
  /** As the version that first wrote such rows names them. */
  const storedNames = {
    claimId: 'attemptId',
    inDoubt: 'contested',
    allowListed: 'harmless',
    requestedAt: 'askedAt',
    requestedTimes: 'askedTimes',
    requestedBy: 'askedBy',
  };

  test('a field is stored under the name of the first version, and any other under its own', () => {
    for (const [field, stored] of Object.entries(storedNames)) {
      expect(storedName(field)).toBe(stored);
      expect(toStored({ [field]: 1 })).toEqual({ [stored]: 1 });
    }
    expect([storedName('tenantId'), toStored({ tenantId: 1 })]).toEqual(['tenantId', { tenantId: 1 }]);
  });

  test('a row is read as it was stored', () => {
    const row = fakePorts().claimed();
    expect(fromStored(toStored(row))).toEqual(row);
    expect(toStored(row)).not.toHaveProperty('claimId');
  });
});

describe('the time at which a row is looked at next', () => {
  test('an unsettled row has it', () => {
    expect(fromStored({ unsettled: 'yes', checkAt: 5 })).toMatchObject({ checkAt: 5 });
    expect(fromStored({ checkAt: 5 })).toEqual({ checkAt: 5 });
  });

  test('a settled row, whose next check of health it is, has none', () => {
    expect(fromStored({ unsettled: 'health', checkAt: 5, name: 'x' })).toEqual({
      unsettled: 'health',
      name: 'x',
    });
    expect(fromStored({ name: 'x' })).toStrictEqual({ name: 'x' });
  });
});
