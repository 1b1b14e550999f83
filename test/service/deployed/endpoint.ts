/**
 * Set by `npm run test:deployed`: the tests of the service's outside run against stacks that are deployed for them.
 * Not run then is what only servers in memory can be made to do: to let AWS fail, to kill a function in the middle of
 * a create, to tell every request to AWS, to end functions sooner than they are deployed to end.
 */
export const isDeployed = process.env['TEST_DEPLOYED'] === '1';

/**
 * Of all AWS services, as SDK and CLI know it. Never AWS itself, which they fall back to when it is missing or empty: the
 * tests break things, and take their time.
 * @throws Error
 */
export function endpointUrl(): URL {
  const { AWS_ENDPOINT_URL: url = '' } = process.env;
  if (!URL.canParse(url) || /(^|\.)(amazonaws\.com(\.cn)?|api\.aws)$/.test(new URL(url).hostname)) {
    throw new Error('AWS_ENDPOINT_URL is not the URL of an emulator.');
  }
  return new URL(url);
}

/** For programs: without an emulator they say what to start, and end with 2. */
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

/** Where `npm run test:deployed` has put the files of the version before. */
export function previousDirectory(): string {
  const { TEST_PREVIOUS: directory } = process.env;
  if (directory === undefined) throw new Error('TEST_PREVIOUS is not set: run `npm run test:deployed`.');
  return directory;
}

/** What SDK and CLI need beside the endpoint; any will do for an emulator. */
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
