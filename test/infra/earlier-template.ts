import type { Template } from 'aws-cdk-lib/assertions';
import * as z from 'zod/mini';

/**
 * Properties that CloudFormation cannot change in place: with another value it makes a new resource, whose data, address
 * or permissions are not those of the old one. Of the types in the template, as their reference pages say.
 */
const fixedProperties: Record<string, readonly string[]> = {
  'ApiGatewayV2::Api': ['ProtocolType'],
  'ApiGatewayV2::Integration': ['ApiId'],
  'ApiGatewayV2::Route': ['ApiId'],
  'ApiGatewayV2::Stage': ['ApiId', 'StageName'],
  'CloudWatch::Alarm': ['AlarmName'],
  'CloudWatch::Dashboard': ['DashboardName'],
  'DynamoDB::Table': ['KeySchema', 'TableName'],
  'Events::EventBus': ['Name'],
  'Events::Rule': ['EventBusName', 'Name'],
  'IAM::Policy': [],
  'IAM::Role': ['Path', 'RoleName'],
  'KMS::Alias': ['AliasName'],
  'KMS::Key': [],
  'Lambda::EventInvokeConfig': ['FunctionName', 'Qualifier'],
  'Lambda::EventSourceMapping': ['EventSourceArn', 'StartingPosition'],
  'Lambda::Function': ['FunctionName', 'PackageType'],
  'Lambda::Permission': ['Action', 'FunctionName', 'Principal', 'SourceArn'],
  'Logs::LogGroup': ['LogGroupName'],
  'Logs::MetricFilter': ['FilterName', 'LogGroupName'],
  'Logs::QueryDefinition': [],
  'SQS::Queue': ['FifoQueue', 'QueueName'],
  'SQS::QueuePolicy': [],
  'SecretsManager::Secret': ['Name'],
};

const templateSchema = z.object({
  Resources: z.record(
    z.string(),
    z.object({ Type: z.string(), Properties: z.optional(z.record(z.string(), z.unknown())) }),
  ),
  Outputs: z.record(z.string(), z.unknown()),
});

/** The identity of every resource, by its logical id: the type, and the properties that cannot change in place. */
export function identitiesIn(template: Template): Record<string, string> {
  const { Resources, Outputs } = templateSchema.parse(template.toJSON());
  const identities = Object.entries(Resources).map(([id, { Type, Properties = {} }]) => {
    const type = Type.replace('AWS::', '');
    const fixed = fixedProperties[type];
    if (!fixed) throw new Error(`The properties of ${Type} that replace it are not listed.`);
    const values = fixed.flatMap((name) =>
      Properties[name] === undefined ? [] : [`${name}=${concise(Properties[name])}`],
    );
    return [id, [type, ...values].join(' ')];
  });
  return Object.fromEntries([...identities, ...Object.keys(Outputs).map((id) => [id, 'Output'])]);
}

/** References by logical id alone: `{"Fn::GetAtt": ["Table", "Arn"]}` is `Table.Arn`. */
function concise(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  if (Array.isArray(value)) return value.map(concise).join(',');
  return Object.entries(value)
    .map(([name, inner]) => (/^(Ref|Fn::Join)$/.test(name) ? concise(inner) : `${name}:${concise(inner)}`))
    .join(';');
}
