import { expect, test } from 'vitest';
import { parseOptions } from '../../infra/onboard/options.ts';

const whereOf = (args: string[], environment = {}) => parseOptions(['tenants.csv', ...args], environment);

test('the service is found in one of three ways', () => {
  expect(whereOf(['--stage', 'prod'])).toMatchObject({ where: { stage: 'prod' } });
  expect(whereOf(['--bus', 'b', '--table', 't'])).toMatchObject({ where: { busName: 'b', tableName: 't' } });
  expect(whereOf(['--local'])).toMatchObject({ where: { localPort: 8_080 } });
  expect(whereOf(['--local'], { PORT: '9000' })).toMatchObject({ where: { localPort: 9_000 } });
  expect(whereOf(['--check'])).toMatchObject({ where: undefined });
});

test('a row is followed for as long as the queue may take over it', () => {
  expect(parseOptions(['tenants.csv', '--local'], {})).toMatchObject({
    timeoutMs: 1_740_000,
    rate: 10,
    journalFile: 'tenants.csv.journal',
  });
});

test.each([
  [[], 'Name one manifest'],
  [['a.csv', 'b.csv', '--local'], 'Name one manifest'],
  [['a.csv'], 'Say where to'],
  [['a.csv', '--local', '--stage', 'dev'], 'Say where to'],
  [['a.csv', '--bus', 'b'], 'Say where to'],
  [['a.csv', '--local', '--rate', 'fast'], 'rate is to be a number'],
  [['a.csv', '--local', '--rate', '0'], 'rate is to be a number'],
  [['a.csv', '--locale'], '--locale'],
])('%j is refused', (args, message) => {
  expect(() => parseOptions(args, {})).toThrow(message);
});
