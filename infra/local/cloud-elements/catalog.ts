/**
 * Elements that the simulated platform can provision: those that need no OAuth according to their guides. Keys, ids,
 * names, required entries and defaults come from the guides, below docs/elements in
 * https://github.com/cloud-elements/devportal unless another source is named. Where page and sample response print
 * different ids, the page's is taken.
 */

/** Only passwords are masked when read. An API key is often plain text. */
export type EntryType = 'BOOLEAN' | 'PASSWORD' | 'TEXTAREA' | 'TEXTFIELD_128' | 'TEXTFIELD_1000';

export type ElementEntry = {
  readonly key: string;
  readonly name: string;
  readonly type: EntryType;
  readonly required: boolean;
  readonly defaultValue: string | null;
};

export type ElementDefinition = {
  readonly id: number;
  readonly key: string;
  readonly name: string;
  readonly hub: string;
  readonly description: string;
  /**
   * The response of `GET /ping`: 404, a heartbeat, or also whether the instance is valid. Taken from the vendor's own
   * tests (https://github.com/varunpal72/churros, src/test/elements); `absent` for elements without such a test.
   */
  readonly ping: 'absent' | 'heartbeat' | 'validity';
  readonly entries: readonly ElementEntry[];
};

// Basic authentication: the samples show `username` unmasked beside a masked `password`, even if it is an API key.
const username = required('username', 'Username', 'TEXTFIELD_128');
const password = required('password', 'Password', 'PASSWORD');
const store = required('store.url', 'Store URL', 'TEXTFIELD_1000');

export const elements: readonly ElementDefinition[] = [
  {
    // taxify/taxify-create-instance.md
    id: 320,
    key: 'taxify',
    name: 'Taxify',
    hub: 'finance',
    description: 'Put your monthly tax compliance on autopilot.',
    ping: 'absent',
    entries: [
      required('api.key', 'API Key', 'PASSWORD'),
      ...defaults({
        'base.url': 'https://ws.taxify.co/taxify/1.0/core/JSONService.asmx',
        'pagination.type': null,
        'pagination.max': '100',
        'event.vendor.type': 'webhook',
      }),
      {
        key: 'partner.key',
        name: 'Partner Key',
        type: 'PASSWORD',
        required: false,
        defaultValue: 'TAXIFY_PARTNER_KEY',
      },
      ...everyElement(),
    ],
  },
  {
    // freshdesk/authenticate.md
    id: 491,
    key: 'freshdeskv2',
    name: 'Freshdesk V2',
    hub: 'helpdesk',
    // Descriptions can hold markup.
    description: 'Add a <b>Freshdesk</b> instance. Its API key goes into the user name.',
    ping: 'absent',
    entries: [
      required('subdomain', 'Subdomain', 'TEXTFIELD_128'),
      { ...username, name: 'API Key' },
      ...defaults({ 'base.url': 'https://{subdomain}.freshdesk.com', 'pagination.max': '30' }),
      ...everyElement(),
    ],
  },
  {
    // freshservice/freshservice-create-instance.md
    id: 252,
    key: 'freshservice',
    name: 'Freshservice',
    hub: 'helpdesk',
    description: 'Add a Freshservice element instance',
    ping: 'heartbeat',
    entries: [
      username,
      password,
      required('subdomain', 'Subdomain', 'TEXTFIELD_128'),
      ...defaults({ 'base.url': 'https://{subdomain}.freshservice.com', 'pagination.max': '30' }),
      ...everyElement(),
      ...polling(),
    ],
  },
  {
    // servicenow/authenticate.md
    id: 145,
    key: 'servicenow',
    name: 'ServiceNow',
    hub: 'helpdesk',
    description: 'Service management for every department in the enterprise.',
    ping: 'absent',
    entries: [
      username,
      password,
      required('servicenow.subdomain', 'The ServiceNow Subdomain', 'TEXTFIELD_128'),
      ...defaults({
        'base.url': 'https://{subdomain}.service-now.com/api/now/v1/table',
        'pagination.max': '200',
        'pagination.type': 'offset',
      }),
      ...everyElement(),
      ...polling('{}'),
    ],
  },
  {
    // bamboohr/authenticate.md
    id: 6315,
    key: 'bamboohr',
    name: 'Bamboo HR',
    hub: 'humancapital',
    description: 'Manipulate employee data and generate reports in several formats.',
    ping: 'absent',
    entries: [
      { ...username, name: 'API Key' },
      required('company.name', 'Company Name', 'TEXTFIELD_128'),
      ...everyElement(),
    ],
  },
  {
    // chargify/chargify-create-instance.md
    id: 498,
    key: 'chargify',
    name: 'Chargify',
    hub: 'payment',
    description: 'Manage your customers and products across multiple payments elements.',
    ping: 'heartbeat',
    entries: [
      { ...username, name: 'API Key' },
      password,
      required('site', 'Site', 'TEXTFIELD_128'),
      ...defaults({
        'base.url': 'https://{site}.chargify.com',
        'pagination.max': '50',
        'pagination.type': 'page',
        'pagination.page.startindex': '1',
      }),
      ...everyElement(),
      ...polling('{}'),
    ],
  },
  {
    // chargebee/chargebee-create-instance.md
    id: 451,
    key: 'chargebee',
    name: 'Chargebee',
    hub: 'payment',
    description: 'Chargebee API',
    ping: 'absent',
    entries: [
      required('site', 'Site', 'TEXTFIELD_128'),
      { ...username, name: 'API Key' },
      password,
      ...defaults({
        'base.url': 'https://{site}.chargebee.com/api/v1',
        'pagination.max': '100',
        'pagination.type': 'offset',
      }),
      ...everyElement(),
      ...polling('{"events":{"url":"/hubs/payment/events?where=start_time=\'${epoch}\'","idField":""}}'),
    ],
  },
  {
    // stripe/stripe-create-instance.md. The sample response shows the key as `username`; used is that of the request
    // body.
    id: 475,
    key: 'stripe',
    name: 'Cloud Elements for Stripe',
    hub: 'payment',
    description: 'Manage your customers, plans, charges, tokens and products.',
    ping: 'absent',
    entries: [
      required('api.key', 'API Key', 'PASSWORD'),
      ...defaults({
        'base.url': 'https://api.stripe.com/v1',
        'pagination.max': '100',
        'pagination.type': 'cursor',
      }),
      ...everyElement(),
      ...polling('{"events":{"url":"/hubs/payment/events?where=created >\'${epoch}\'","idField":"id"}}'),
    ],
  },
  {
    // amazons3/amazons3-create-instance.md
    id: 16,
    key: 'amazons3',
    name: 'Amazon S3',
    hub: 'documents',
    description: 'Amazon S3 is storage for the Internet.',
    ping: 'absent',
    entries: [
      required('filemanagement.provider.access_key', 'Access Key', 'TEXTFIELD_128'),
      required('filemanagement.provider.secret_key', 'Secret Key', 'PASSWORD'),
      required('filemanagement.provider.bucket_name', 'Bucket Name', 'TEXTFIELD_128'),
      ...defaults({ 'filemanagement.provider.region_name': null, 'document.tagging': 'false' }),
      ...everyElement(),
    ],
  },
  {
    // autopilot/autopilot-create-instance.md
    id: 528,
    key: 'autopilot',
    name: 'AutoPilot',
    hub: 'marketing',
    description: 'Easy and visual marketing software for automating the customer journey',
    ping: 'absent',
    entries: [
      required('api.key', 'API Key', 'PASSWORD'),
      ...defaults({
        'base.url': 'https://api2.autopilothq.com/v1',
        'pagination.max': '100',
        'pagination.type': 'cursor',
        'pagination.page.startindex': '1',
        'event.vendor.type': 'webhooks',
      }),
      ...everyElement(),
    ],
  },
  {
    // ecwid/ecwid-create-instance.md
    id: 52,
    key: 'ecwid',
    name: 'Ecwid',
    hub: 'ecommerce',
    description: 'Ecwid is everything you need to sell anywhere.',
    ping: 'absent',
    entries: [
      required('ecwid.order.key', 'Order API Key', 'PASSWORD'),
      required('ecwid.product.key', 'Product API Key', 'PASSWORD'),
      required('ecwid.store.id', 'Store ID', 'TEXTFIELD_128'),
      ...everyElement(),
    ],
  },
  {
    // bigcommerce/bigcommerce-create-instance.md
    id: 274,
    key: 'bigcommerce',
    name: 'BigCommerce',
    hub: 'ecommerce',
    description: 'Manage orders and products across multiple eCommerce elements.',
    ping: 'heartbeat',
    entries: [
      store,
      username,
      { ...password, name: 'API Key' },
      ...defaults({ 'base.url': '{store.url}', 'pagination.max': '250', 'pagination.type': 'page' }),
      ...everyElement(),
      ...polling(),
    ],
  },
  {
    // woocommerce/woocommerce-create-instance.md
    id: 127,
    key: 'woocommerce',
    name: 'WooCommerce',
    hub: 'ecommerce',
    description: 'Manage orders and products across multiple eCommerce elements.',
    ping: 'absent',
    entries: [
      required('base.url', 'Base URL', 'TEXTFIELD_1000'),
      required('oauth.api.key', 'Consumer Key', 'PASSWORD'),
      required('oauth.api.secret', 'Consumer Secret', 'PASSWORD'),
      store,
      ...everyElement(),
    ],
  },
  {
    // twilio/twilio-create-instance.md
    id: 7,
    key: 'twilio',
    name: 'Twilio SMS',
    hub: 'messaging',
    description: 'Global Text Messaging API.',
    ping: 'absent',
    entries: [
      required('messaging.sms.twilio.account', 'Account', 'TEXTFIELD_128'),
      required('messaging.sms.twilio.sender', 'Sender', 'TEXTFIELD_128'),
      required('messaging.sms.twilio.token', 'Token', 'PASSWORD'),
      ...defaults({ 'messaging.sms.twilio.protocol': 'sms', 'messaging.sms.twilio.callback.url': null }),
      ...everyElement(),
    ],
  },
  {
    // https://docs.cloud-elements.com/home/twiliov2-authenticate
    id: 503,
    key: 'twiliov2',
    name: 'Twilio V2',
    hub: 'messaging',
    description: 'Send, receive and manage email, MMS, and SMS messages.',
    ping: 'validity',
    entries: [
      { ...username, name: 'Account SID' },
      { ...password, name: 'Auth Token' },
      ...defaults({
        'base.url': 'https://api.twilio.com/2010-04-01/Accounts',
        'pagination.max': '100',
        'pagination.type': 'page',
        'pagination.page.startindex': '0',
      }),
      ...everyElement(),
      ...polling(
        '{"messages":{"url":"/hubs/messaging/messages?where=DateSent=\'${date:yyyy-MM-dd\'T\'HH:mm:ssXXX}\'","idField":"sid"}}',
      ),
    ],
  },
  {
    // sendgrid/sendgrid-create-instance.md, "Minimum JSON payload"
    id: 6,
    key: 'sendgrid',
    name: 'SendGrid',
    hub: 'messaging',
    description: 'Email Delivery. Simplified.',
    ping: 'absent',
    entries: [
      required('messaging.smtp.sendgrid.username', 'SMTP Username', 'TEXTFIELD_128'),
      required('messaging.smtp.sendgrid.password', 'SMTP Password', 'PASSWORD'),
      required('messaging.smtp.sendgrid.sender', 'SMTP Sender', 'TEXTFIELD_128'),
      ...defaults({
        'messaging.smtp.sendgrid.protocol': 'smtp',
        'messaging.smtp.sendgrid.port': '587',
        'messaging.smtp.sendgrid.server': 'smtp.sendgrid.net',
      }),
      ...everyElement(),
    ],
  },
];

/** By key, or by id as text. */
export function findElement(keyOrId: string): ElementDefinition | undefined {
  return elements.find(({ id, key }) => key === keyOrId || String(id) === keyOrId);
}

function required(key: string, name: string, type: EntryType): ElementEntry {
  return { key, name, type, required: true, defaultValue: null };
}

/** Defaults that the platform fills in; `null` where it shows an entry without a value. */
function defaults(values: Readonly<Record<string, string | null>>): ElementEntry[] {
  return Object.entries(values).map(([key, defaultValue]) => ({
    key,
    name: key,
    type: typeOf(key, defaultValue),
    required: false,
    defaultValue,
  }));
}

function typeOf(key: string, defaultValue: string | null): EntryType {
  if (defaultValue === 'true' || defaultValue === 'false') return 'BOOLEAN';
  if (key.endsWith('.configuration')) return 'TEXTAREA';
  return key.endsWith('.url') ? 'TEXTFIELD_1000' : 'TEXTFIELD_128';
}

/** Common to all elements: _includes/common-instance-config.md. */
function everyElement(): ElementEntry[] {
  return defaults({
    'event.notification.enabled': 'false',
    'event.notification.callback.url': null,
    'filter.response.nulls': 'true',
  });
}

function polling(configuration: string | null = null): ElementEntry[] {
  return defaults({
    'event.vendor.type': 'polling',
    'event.poller.refresh_interval': '15',
    'event.poller.configuration': configuration,
  });
}
