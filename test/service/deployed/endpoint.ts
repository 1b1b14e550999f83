/**
 * Set by `npm run test:deployed`: the tests of the service's outside run against stacks that are deployed for them.
 * Tests that need servers in memory are skipped then: failures of AWS, a function killed in the middle of a create, a
 * record of every request to AWS, function timeouts shorter than deployed.
 */
export const isDeployed = process.env['TEST_DEPLOYED'] === '1';

/**
 * The endpoint of all AWS services, in the variable of SDK and CLI. Never AWS itself, their default when it is missing
 * or empty: the tests break things, and take their time.
 * @throws Error
 */
export function endpointUrl(): URL {
  const { AWS_ENDPOINT_URL: url = '' } = process.env;
  if (!URL.canParse(url) || /(^|\.)(amazonaws\.com(\.cn)?|api\.aws)$/.test(new URL(url).hostname)) {
    throw new Error('AWS_ENDPOINT_URL is not the URL of an emulator.');
  }
  return new URL(url);
}

/** For programs: without an emulator they print how to start one, and exit with 2. */
export function endpointOrExit(): string {
  try {
    return endpointUrl().href;
  } catch {
    process.stderr.write(
      'AWS_ENDPOINT_URL is not the URL of an emulator of AWS. Start one, such as MiniStack (test/README.md, "Test a deployment"), and say where it is.\n',
    );
    process.exit(2);
  }
}

/** The directory where `npm run test:deployed` has put the previous version. */
export function previousDirectory(): string {
  const { TEST_PREVIOUS: directory } = process.env;
  if (directory === undefined) throw new Error('TEST_PREVIOUS is not set: run `npm run test:deployed`.');
  return directory;
}

/** Variables that SDK and CLI need beside the endpoint; an emulator accepts any values. */
export const environment = {
  AWS_ACCESS_KEY_ID: 'test',
  AWS_SECRET_ACCESS_KEY: 'test',
  AWS_REGION: 'us-east-1',
  ...process.env,
};

export const credentials = {
  accessKeyId: environment.AWS_ACCESS_KEY_ID,
  secretAccessKey: environment.AWS_SECRET_ACCESS_KEY,
};
export const region = environment.AWS_REGION;
