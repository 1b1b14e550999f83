import type { Catalog, Form } from './catalog.ts';

const flag: Form = { pattern: /^(true|false)$/, expected: 'true or false' };
const count: Form = { pattern: /^\d{1,6}$/, expected: 'a whole number of at most 6 digits' };

/**
 * The elements that come with this service. An entry that decides where the credentials are sent (`base.url`) or who
 * hears of the tenant's data (`event.notification.callback.url`) is never harmless.
 */
export const builtInCatalog: Catalog = new Map([
  // Keys of the sample answer in https://github.com/cloud-elements/devportal docs/elements/taxify.
  ['taxify', { required: ['api.key'], allowed: { 'filter.response.nulls': flag, 'pagination.max': count } }],
]);
