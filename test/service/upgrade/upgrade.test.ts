import { afterAll, beforeAll, describe } from 'vitest';
import { startService, type Service } from '../../support/running-service.ts';
import { testEarlierRows, writeEarlierRows, type EarlierRows } from './earlier-row-tests.ts';

describe('the version before', () => {
  let service: Service;
  let rows: EarlierRows;
  beforeAll(async () => {
    service = await startService();
    rows = await writeEarlierRows(service);
  }, 60_000);
  afterAll(() => service[Symbol.asyncDispose]());

  testEarlierRows(() => ({ service, rows }));
});
