import { expect, test } from 'vitest';
import { html } from '../../../../infra/local/page/html.ts';

test('values are escaped, in text and in attributes', () => {
  const hostile = `"><script>alert('x')</script>&`;
  expect(html`<p title="${hostile}">${hostile}</p>`.markup).toBe(`<p title="${escaped}">${escaped}</p>`);
});
const escaped = '&#34;&#62;&#60;script&#62;alert(&#39;x&#39;)&#60;/script&#62;&#38;';

test('markup and lists of it are not escaped again', () => {
  const items = ['<a>', '<b>'].map((name) => html`<b>${name}</b>`);
  expect(html`<i>${items}</i>`.markup).toBe('<i><b>&#60;a&#62;</b><b>&#60;b&#62;</b></i>');
});

test('undefined and false are left out, zero is not', () => {
  expect(html`<i>${undefined}${false}${0}</i>`.markup).toBe('<i>0</i>');
});

test('characters that reorder or hide others are replaced', () => {
  expect(html`<i>${'a\u202Eb\u0000'}</i>`.markup).toBe('<i>a\uFFFDb\uFFFD</i>');
});
