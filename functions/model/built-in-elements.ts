import type { Elements } from './elements.ts';

/** Of every element: _includes/common-instance-config.md there. */
const common: Elements[string]['allowed'] = { 'filter.response.nulls': 'flag' };
/** Of elements whose sample response shows it. */
const paged: Elements[string]['allowed'] = { 'filter.response.nulls': 'flag', 'pagination.max': 'count' };

/**
 * The elements that come with this service: the required entries by the element's guide below docs/elements in
 * https://github.com/cloud-elements/devportal, `ping` where the vendor's own tests have one
 * (https://github.com/varunpal72/churros, src/test/elements). None has `addresses`: only the deployer says that a request
 * may choose where a tenant's credentials are sent.
 */
export const builtInElements: Elements = {
  // taxify/taxify-create-instance.md
  taxify: { required: ['api.key'], allowed: paged },
  // amazons3/amazons3-create-instance.md
  amazons3: {
    required: [
      'filemanagement.provider.access_key',
      'filemanagement.provider.secret_key',
      'filemanagement.provider.bucket_name',
    ],
    allowed: { 'filter.response.nulls': 'flag', 'document.tagging': 'flag' },
  },
  // autopilot/autopilot-create-instance.md
  autopilot: { required: ['api.key'], allowed: paged },
  // bamboohr/authenticate.md: the API key goes into the user name
  bamboohr: { required: ['username', 'company.name'], allowed: common },
  // bigcommerce/bigcommerce-create-instance.md
  bigcommerce: { required: ['store.url', 'username', 'password'], allowed: paged, ping: true },
  // chargebee/chargebee-create-instance.md
  chargebee: { required: ['site', 'username', 'password'], allowed: paged },
  // chargify/chargify-create-instance.md
  chargify: { required: ['username', 'password', 'site'], allowed: paged, ping: true },
  // ecwid/ecwid-create-instance.md
  ecwid: { required: ['ecwid.order.key', 'ecwid.product.key', 'ecwid.store.id'], allowed: common },
  // freshdesk/authenticate.md: the API key goes into the user name
  freshdeskv2: { required: ['subdomain', 'username'], allowed: paged },
  // freshservice/freshservice-create-instance.md
  freshservice: { required: ['username', 'password', 'subdomain'], allowed: paged, ping: true },
  // stripe/stripe-create-instance.md
  stripe: { required: ['api.key'], allowed: paged },
  // twilio/twilio-create-instance.md
  twilio: {
    required: ['messaging.sms.twilio.account', 'messaging.sms.twilio.sender', 'messaging.sms.twilio.token'],
    allowed: common,
  },
  // https://docs.cloud-elements.com/home/twiliov2-authenticate
  twiliov2: { required: ['username', 'password'], allowed: paged, ping: true },
};
