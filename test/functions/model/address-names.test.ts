import { expect, test } from 'vitest';
import {
  decidesAddress,
  maySteer,
  namesCredential,
  namesHost,
} from '../../../functions/model/address-names.ts';
import { words } from '../../support/words.ts';

test.each(
  words(`
    base.url event.notification.callback.url oauth.callback.url subdomain host hostname host.name
    site.address server company.domain endpoint aws.region instanceUrl baseurl redirect_uri
    oauth.token.url login.url auth.endpoint proxy.address account.name accountId base.path sites2
    my.account.name s3Bucket s3host2 site10 aws.zone slack.workspace
  `),
)('%s decides an address', (name) => {
  expect(decidesAddress(name)).toBe(true);
});

test.each(
  words(`
    api.key server.key server.apikey host.passcode site.user user.name id instance.token security
    pagination.max username name account.userid account.namespace account.idle site.user.id
  `),
)('%s decides no address', (name) => {
  expect(decidesAddress(name)).toBe(false);
});

test.each(
  words(`
    base.url subdomain callback host site domain server endpoint instance event.notification.callback.url redirectUri
    baseurl instanceUrl host.port url.suffix server.type endpoint.version proxyhost company.name store_id sites aws.region
    wsdl api.base gateway target.system webhookSecretName link api.gateway2 login.url.path custom.siteaddress ip
    dc org.name crm.pod team.space env shardId
    data.center dataCenter crm.dc country.code tld service.namespace pod organisation.id org companyid storehash wsdlpath
    path.prefix topic recipient.list issuer remote.node
    www netsuite.sandbox is.production staging use.ssl tls.verify dns.name trustAll scheme protocol allow.insecure email bcc
  `),
)('%s may steer a tenant’s credentials', (name) => {
  expect(maySteer(name)).toBe(true);
});

test.each(
  words(
    'pagination.max filter.response.nulls document.tagging refresh_interval sender language event.enabled workshopname teamnotes shopkeeper curling during sitemap pathway xwsdl',
  ),
)('%s steers nothing', (name) => {
  expect(maySteer(name)).toBe(false);
});

test.each(
  words(
    'api.key password userPassword oauth.api.secret access_token client.secret pin signature username user.name loginName accessKeyId api.key.value smtp.pass pin.code ' +
      'auth.code jwt connection.string connectionstring authcode access.code securitycode keyid key.value oauth.user certificate',
  ),
)('%s names a credential', (name) => {
  expect(namesCredential(name)).toBe(true);
});

test.each(
  words(
    'subdomain pagination.max keyword.list search.keyword base.url shipping.code compass.mode passive.mode key.value.type ' +
      'user.name.format tenant.turkey user.list ',
  ),
)('%s names no credential', (name) => {
  expect(namesCredential(name)).toBe(false);
});

test.each(words('host serverAddress api.domain proxy.host.name base.url myurl uri ip callback.path'))(
  '%s names a whole host',
  (name) => {
    expect(namesHost(name)).toBe(true);
  },
);

test.each(words('subdomain subhost shipping hosting region site account.name'))(
  '%s names no whole host',
  (name) => {
    expect(namesHost(name)).toBe(false);
  },
);
