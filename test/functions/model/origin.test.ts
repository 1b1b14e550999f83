import { expect, test } from 'vitest';
import { isOrigin } from '../../../functions/model/origin.ts';

test.each([
  'https://api.one.example',
  'https://api.one.example/',
  'https://api.one.example:8443',
  'https://10.0.0.1',
  'http://localhost:8080',
  'http://127.0.0.1:1',
  'http://127.255.10.1',
  'http://[::1]:80',
  'https://localhost',
])('%s is an origin that may be called', (text) => {
  expect(isOrigin(text)).toBe(true);
});

test.each([
  '',
  'api.one.example',
  'http://api.one.example',
  'http://10.127.0.0.1.example',
  'http://128.0.0.1',
  'http://x127.0.0.1.example',
  'http://127.0.0.1.example',
  'http://localhost.example',
  'ftp://localhost',
  'https://api.one.example/v2',
  'https://api.one.example?x',
  'https://api.one.example/#x',
  'https://me@api.one.example',
  'file:///x',
])('%j is no origin that may be called', (text) => {
  expect(isOrigin(text)).toBe(false);
});
