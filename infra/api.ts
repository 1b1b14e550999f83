import * as apigateway from 'aws-cdk-lib/aws-apigatewayv2';
import { HttpIamAuthorizer } from 'aws-cdk-lib/aws-apigatewayv2-authorizers';
import { HttpLambdaIntegration } from 'aws-cdk-lib/aws-apigatewayv2-integrations';
import type { IFunction } from 'aws-cdk-lib/aws-lambda';
import type { Construct } from 'constructs';
import { gatewayTimeoutMs } from '../functions/core/timing.ts';

/** An HTTP API whose every route asks for a signature by an IAM principal that may invoke it. */
export function addApi(scope: Construct, apiName: string): apigateway.HttpApi {
  return new apigateway.HttpApi(scope, 'Api', {
    apiName,
    description: 'Element instances and element tokens of tenants',
    defaultAuthorizer: new HttpIamAuthorizer(),
  });
}

/** @param http as in the trigger table: `GET /path/{parameter}` */
export function addRoute(api: apigateway.HttpApi, http: string, handler: IFunction): void {
  const method = Object.values(apigateway.HttpMethod).find((candidate) => http.startsWith(`${candidate} /`));
  if (!method) throw new Error(`Not a method and a path: ${http}`);
  const routes = api.addRoutes({
    path: http.slice(method.length + 1),
    methods: [method],
    integration: new HttpLambdaIntegration('Integration', handler, {
      payloadFormatVersion: apigateway.PayloadFormatVersion.VERSION_2_0,
    }),
  });
  for (const construct of routes.flatMap((route) => route.node.findAll())) {
    // Set here because the construct's own `timeout` stops at 29 s, the limit of REST APIs; an HTTP API's is 30 s.
    if (construct instanceof apigateway.CfnIntegration) construct.timeoutInMillis = gatewayTimeoutMs;
  }
}
