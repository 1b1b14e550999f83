/**
 * Names of configuration entries that decide an address: Cloud Elements sends an instance's credentials where such an
 * entry says, and a tenant's data to its callbacks.
 */

/** Words for an address or a place at one, in the singular. Digests in the table depend on this list. */
const addressWords: ReadonlySet<string> = new Set(
  (
    'account address bucket callback cluster company datacenter domain endpoint environment host hostname instance ' +
    'organization origin path port proxy realm region server shop site store subdomain tenant uri url webhook ' +
    'workspace zone'
  ).split(' '),
);

/** Does the entry decide where the credentials, or the tenant's data, are sent? By the last words of its name. */
export function decidesAddress(name: string): boolean {
  const words = wordsOf(name);
  // `account.name` and `site.id` are that of the word before.
  if (/^(name|id)$/.test(words.at(-1) ?? '')) words.pop();
  const last = words.at(-1) ?? '';
  return addressWords.has(last) || /(url|uri|host|domain|endpoint|address)$/.test(last);
}

/** Does the value name a whole host, and not a label before a vendor's domain? By any word of the name. */
export const namesHost = (name: string): boolean =>
  wordsOf(name).some((word) =>
    /^(?!sub).*(?:host|hostname|domain|endpoint|server|address|callback|webhook|proxy|origin|gateway|ur[il]|ip|fqdn)$/.test(
      word,
    ),
  );

/**
 * Words that may lead elsewhere, too, and are too common for the digests. A flag such as `sandbox` chooses between two
 * hosts, and one such as `use.ssl` who can read the credentials on their way.
 */
const furtherWords: ReadonlySet<string> = new Set(
  (
    'api authority base bcc broker cc center centre cloud community connection country database db dc ' +
    'destination dns dsn email env farm forward fqdn ftp gateway geo href http hub idp insecure ip ' +
    'issuer jdbc link location mail marketplace namespace network node org organisation plaintext pod portal ' +
    'prefix prod production project protocol queue recipient redirect relay remote root route sandbox scheme ' +
    'sftp shard smtp space ssl stack staging subscriber suffix target team tld tls topic trust vault via ' +
    'website wsdl www'
  )
    .split(' ')
    .map(singular),
);

/** As in `companyid` and `storehash`. */
const compound =
  /^(account|bucket|cluster|company|instance|org|region|shop|site|store|team|tenant|workspace)(code|hash|id|key|name|no|number)$/;

const partsOfWords =
  /host|domain|endpoint|callback|webhook|server|address|proxy|redirect|^url|url$|^uri|uri$|site$|path$|^wsdl/;

/**
 * May the entry steer the credentials elsewhere? By any word of its name: for the deployer it is one line more to say so
 * of an entry that does not.
 */
export const maySteer = (name: string): boolean =>
  decidesAddress(name) ||
  wordsOf(name).some(
    (word) =>
      addressWords.has(word) || furtherWords.has(word) || partsOfWords.test(word) || compound.test(word),
  );

function wordsOf(name: string): string[] {
  return name
    .replaceAll(/([a-z\d])([A-Z])/g, '$1.$2')
    .toLowerCase()
    .split(/[._-]/)
    .map((word) => singular(word.replace(/\d+$/, '')));
}

/** Also takes the "s" of `dns` and `tls`. */
function singular(word: string): string {
  return word.replace(/(?<!s)s$/, '');
}

/** Does the name say that the value is a credential? A stored key is none of the entries that a request may set. */
export function namesCredential(name: string): boolean {
  const words = wordsOf(name);
  const joined = words.join('.');
  return (
    /pass(word|wd|code|phrase|key)|secret|token|credential|private|signature/.test(joined) ||
    /connection\.?string|(access|auth|security)\.?code|key\.?(id|value)$|(login|user)\.name$/.test(joined) ||
    words.some((word) => /^(bearer|cookie|jwt|keystore|otp|pass|pin|pw|pwd)$/.test(word)) ||
    /^((access|api)?key|auth|authorization|certificate|login|user(name)?)$/.test(words.at(-1) ?? '')
  );
}
