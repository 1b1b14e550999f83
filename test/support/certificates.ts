import { generateKeyPairSync, randomBytes, sign, type KeyObject } from 'node:crypto';

export type Certificate = {
  /** PEM. */
  cert: string;
  key: string;
};

/**
 * Creates a certificate authority with a new key. Written by hand in DER, because Node reads certificates but cannot
 * create any: https://www.rfc-editor.org/rfc/rfc5280#section-4.1
 */
export function createAuthority(name: string) {
  const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const authority = { issuer: name, issuerKey: privateKey };
  const cert = certificate({
    ...authority,
    subject: name,
    publicKey,
    extensions: [basicConstraints],
    from: hoursFromNow(-24),
    to: hoursFromNow(24),
  });

  return {
    /** PEM. */
    cert,

    /** Issues a server certificate for host names, valid for a day. */
    issue(names: readonly string[], { from = hoursFromNow(-12), to = hoursFromNow(12) } = {}): Certificate {
      const server = generateKeyPairSync('ec', { namedCurve: 'P-256' });
      return {
        cert: certificate({
          ...authority,
          subject: names.join(),
          publicKey: server.publicKey,
          extensions: [alternativeNames(names)],
          from,
          to,
        }),
        key: server.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
      };
    },
  };
}

export const hoursFromNow = (hours: number): Date => new Date(Date.now() + hours * 3_600_000);

function certificate({
  issuer,
  issuerKey,
  subject,
  publicKey,
  extensions,
  from,
  to,
}: {
  issuer: string;
  issuerKey: KeyObject;
  subject: string;
  publicKey: KeyObject;
  extensions: readonly Buffer[];
  from: Date;
  to: Date;
}): string {
  const toBeSigned = sequence(
    tagged(0xa0, integer(Buffer.from([2]))),
    integer(Buffer.concat([Buffer.from([1]), randomBytes(15)])),
    ecdsaWithSha256,
    commonName(issuer),
    sequence(time(from), time(to)),
    commonName(subject),
    publicKey.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...extensions)),
  );
  const whole = sequence(toBeSigned, ecdsaWithSha256, bitString(sign('sha256', toBeSigned, issuerKey)));
  const lines = whole.toString('base64').match(/.{1,64}/g) ?? [];
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n');
}

/** Any DER value; a long one has the number of its length's bytes before its length. */
function tagged(tag: number, ...contents: readonly Buffer[]): Buffer {
  const content = Buffer.concat(contents);
  const length = Buffer.from(content.length.toString(16).padStart(4, '0'), 'hex');
  const head = content.length < 0x80 ? [tag, content.length] : [tag, 0x82, ...length];
  return Buffer.concat([Buffer.from(head), content]);
}

const sequence = (...parts: readonly Buffer[]) => tagged(0x30, ...parts);
const integer = (bytes: Buffer) => tagged(0x02, bytes);
const bitString = (bytes: Buffer) => tagged(0x03, Buffer.from([0]), bytes);
const octetString = (bytes: Buffer) => tagged(0x04, bytes);
const objectId = (hex: string) => tagged(0x06, Buffer.from(hex, 'hex'));

/** UTCTime, `YYMMDDhhmmssZ`. */
const time = (date: Date) =>
  tagged(0x17, Buffer.from(`${date.toISOString().slice(2, 19).replaceAll(/\D/g, '')}Z`));

/** 1.2.840.10045.4.3.2 */
const ecdsaWithSha256 = sequence(objectId('2a8648ce3d040302'));

/** 2.5.4.3, as UTF-8. */
const commonName = (name: string) =>
  sequence(tagged(0x31, sequence(objectId('550403'), tagged(0x0c, Buffer.from(name)))));

/** 2.5.29.19, critical: the subject is an authority. */
const basicConstraints = sequence(
  objectId('551d13'),
  tagged(0x01, Buffer.from([0xff])),
  octetString(sequence(tagged(0x01, Buffer.from([0xff])))),
);

/** 2.5.29.17, names of hosts. */
const alternativeNames = (names: readonly string[]) =>
  sequence(
    objectId('551d11'),
    octetString(sequence(...names.map((name) => tagged(0x82, Buffer.from(name))))),
  );
