import { expect, test } from 'vitest';
import { UsageError } from '../../../../infra/cli/command.ts';
import { parseOptions } from '../../../../infra/cli/onboard/options.ts';

const whereOf = (args: string[], environment = {}) => parseOptions(['tenants.csv', ...args], environment);

test('the target can be given in three ways', () => {
  expect(whereOf(['--stage', 'prod'])).toMatchObject({ where: { stage: 'prod' } });
  expect(whereOf(['--bus', 'b', '--table', 't'])).toMatchObject({ where: { busName: 'b', tableName: 't' } });
  expect(whereOf(['--local'])).toMatchObject({ where: { localPort: 8_080 } });
  expect(whereOf(['--local'], { PORT: '9000' })).toMatchObject({ where: { localPort: 9_000 } });
});

test('imports are paced by the limit of their route, unless a rate is given', () => {
  expect(whereOf(['--local'])).toMatchObject({ rate: 10, importRate: 2 });
  expect(whereOf(['--local', '--rate', '50'])).toMatchObject({ rate: 50, importRate: 50 });
});

test('a target by names takes the address of the API', () => {
  const names = ['--bus', 'b', '--table', 't', '--api'];
  for (const apiUrl of ['https://api.example/stage', 'http://127.0.0.1:8080']) {
    expect(whereOf([...names, apiUrl])).toMatchObject({ where: { apiUrl } });
  }
  for (const apiUrl of ['http://api.example', 'api.example', 'file:///etc/hosts', '']) {
    expect(() => whereOf([...names, apiUrl])).toThrow('Expected --api to be an https URL');
  }
  expect(() => whereOf(['--local', '--api', 'https://api.example'])).toThrow('beside --bus and --table');
});

test('a row is followed for as long as the queue may take', () => {
  expect(parseOptions(['tenants.csv', '--local'], {})).toMatchObject({
    timeoutMs: 1_740_000,
    rate: 10,
  });
});

test('a check needs no target, and accepts one for the secrets', () => {
  expect(whereOf(['--check'])).toMatchObject({ check: true, where: undefined });
  expect(whereOf(['--check', '--stage', 'prod'])).toMatchObject({ check: true, where: { stage: 'prod' } });
  expect(whereOf(['--stage', 'prod'])).toMatchObject({ check: false });
});

test.each([
  [[], 'Expected the file name of one manifest, got 0.'],
  [['a.csv', 'b.csv', '--local'], 'Expected the file name of one manifest, got 2.'],
  [['a.csv'], 'Expected one of --local, --stage <stage>, or --bus <name> and --table <name>.'],
  [['a.csv', '--local', '--stage', 'dev'], '--local and --stage name different targets: give one of them.'],
  [
    ['a.csv', '--check', '--local', '--bus', 'b'],
    '--local and --bus with --table name different targets: give one of them.',
  ],
  [['a.csv', '--bus', 'b'], '--bus and --table go together: give both.'],
  [
    ['a.csv', '--local', '--rate', 'fast'],
    'Expected --rate to be a number above 0 and at most 1000, got "fast".',
  ],
  [['a.csv', '--local', '--rate', '0'], 'Expected --rate to be a number above 0 and at most 1000, got "0".'],
  [['a.csv', '--local', '--timeout', '-1'], "Option '--timeout' argument is ambiguous."],
  [['a.csv', '--locale'], "Unknown option '--locale'."],
])('the arguments %j are refused', (args, message) => {
  expect(() => parseOptions(args, {})).toThrow(new UsageError(message));
});
