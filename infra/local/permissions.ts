import type { RequestListener } from 'node:http';
import type { Uses } from '../../functions/triggers.ts';
import { sendError } from './aws-protocol.ts';

/**
 * What IAM does with the functions' roles, as far as actions go: a request signed with a function's name as its access
 * key may do what the function's row asks for, and one with any other key everything. So a permission that is missing
 * in the table is missing here too.
 */
export function guardPermissions(usesOf: (accessKeyId: string) => Uses | undefined) {
  return (listener: RequestListener): RequestListener =>
    (request, response) => {
      const accessKeyId = /Credential=([^/]+)\//.exec(request.headers.authorization ?? '')?.[1];
      const uses = accessKeyId === undefined ? undefined : usesOf(accessKeyId);
      const target = String(request.headers['x-amz-target']);
      if (!uses || allowedTargets(uses).includes(target)) {
        listener(request, response);
        return;
      }
      request.resume();
      sendError(response, {
        status: 400,
        type: 'AccessDeniedException',
        message: `${accessKeyId} may not perform ${target}: its row in triggers.ts does not say so.`,
      });
    };
}

function allowedTargets({ table, secrets, tokenKey = [] }: Uses): string[] {
  return [
    ...table.map((action) => `DynamoDB_20120810.${action}`),
    ...(secrets ? ['secretsmanager.GetSecretValue'] : []),
    ...tokenKey.map((action) => `TrentService.${action}`),
  ];
}
