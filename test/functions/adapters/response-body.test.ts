import { brotliCompressSync, deflateSync, gzipSync } from 'node:zlib';
import { describe, expect, test } from 'vitest';
import { decompressed, parseBody } from '../../../functions/adapters/response-body.ts';

const maxBytes = 100;
const said = Buffer.from('{"id":7}');
const gzip = gzipSync(said);

describe('a response body', () => {
  test.each<[string, Buffer<ArrayBuffer>, string | undefined]>([
    ['without a coding', said, undefined],
    ['of coding identity', said, 'identity'],
    ['of an unknown coding', said, 'zstd'],
    ['of coding gzip', gzip, 'gzip'],
    ['of coding deflate', deflateSync(said), 'deflate'],
    ['of coding br', brotliCompressSync(said), ' BR '],
    ['that is gzip without a coding', gzip, undefined],
    ['that is gzip of another coding', gzip, 'br'],
  ])('a body %s is read', async (_what, body, coding) => {
    expect((await decompressed(body, { coding, maxBytes })).toString()).toBe('{"id":7}');
  });

  test('an empty body of coding deflate is empty', async () => {
    expect(await decompressed(Buffer.alloc(0), { coding: 'deflate', maxBytes })).toHaveLength(0);
  });

  test.each([
    ['0x1f alone', [0x1f, 0x20, 0x20]],
    ['0x8b in second place', [0x20, 0x8b, 0x20]],
  ])('a body with %s is no gzip', async (_what, bytes) => {
    const body = Buffer.from(bytes);
    expect(await decompressed(body, { coding: undefined, maxBytes })).toBe(body);
  });

  test.each(['gzip', 'br'])('a body of coding %s with more than the limit is refused', async (coding) => {
    const fits = Buffer.alloc(maxBytes, 0x20);
    const larger = Buffer.alloc(maxBytes + 1, 0x20);
    const compress = coding === 'br' ? brotliCompressSync : gzipSync;
    expect(await decompressed(compress(fits), { coding, maxBytes })).toHaveLength(maxBytes);
    await expect(decompressed(compress(larger), { coding, maxBytes })).rejects.toMatchObject({
      code: 'ERR_BUFFER_TOO_LARGE',
    });
  });
});

describe('JSON', () => {
  test.each<[string, unknown]>([
    ['{"id":9007199254740991}', { id: 9_007_199_254_740_991 }],
    ['{"id":9007199254740992}', { id: '9007199254740992' }],
    ['{"id":-9007199254740993}', { id: '-9007199254740993' }],
    ['[1234567890123456]', [1_234_567_890_123_456]],
    ['[0.1234567890123456789]', [0.123_456_789_012_345_68]],
    ['[12345678901234567890.5]', [12_345_678_901_234_567_000]],
    ['[12345678901234567890e2]', [1.234_567_890_123_456_8e21]],
    ['["12345678901234567890"]', ['12345678901234567890']],
    ['["\\ud800","\\uDFFF","\\ud83d\\ude00"]', ['\uFFFD', '\uFFFD', '😀']],
    ['{"\\ud800":"\\udc00x","n":null,"t":true}', { '\ud800': '\uFFFDx', n: null, t: true }],
    ['<html>', undefined],
    ['1234567890123456 {', undefined],
  ])('%s is read exactly', (text, value) => {
    expect(parseBody(text)).toEqual(value);
  });
});
