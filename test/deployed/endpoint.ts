/**
 * Set by `npm run test:deployed`: the tests of the service's outside run against stacks that are deployed for them.
 * Not run then is what only servers in memory can be made to do: to let AWS fail, to kill a function in the middle of
 * a create, to tell every request to AWS, to end functions sooner than they are deployed to end.
 */
export const isDeployed = process.env['TEST_DEPLOYED'] === '1';

/** Of all AWS services, as SDK and CLI know it. Never AWS itself: the tests break things and take their time. */
export function endpointUrl(): URL {
  const { AWS_ENDPOINT_URL: url } = process.env;
  if (url === undefined || !URL.canParse(url))
    throw new Error('AWS_ENDPOINT_URL is not the URL of an emulator.');
  return new URL(url);
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
