import { Stack, type StackProps } from 'aws-cdk-lib';
import { EventBus } from 'aws-cdk-lib/aws-events';
import { Topic } from 'aws-cdk-lib/aws-sns';
import type { Construct } from 'constructs';
import { ElementOnboarding, type ElementOnboardingProps } from './element-onboarding.ts';
import { stackNameOf } from './outputs.ts';
import type { Settings } from './settings.ts';

export type OnboardingStackProps = StackProps & Pick<ElementOnboardingProps, 'code'> & { settings: Settings };

/** The stack of a stage, from its settings in `cdk.json`. */
export class OnboardingStack extends Stack {
  constructor(scope: Construct, { settings, code, ...props }: OnboardingStackProps) {
    const { alarmTopicArn, eventBusArn, ...others } = settings;
    super(scope, stackNameOf(settings.stage), {
      description: `Provisions tenants' element instances at ${settings.baseUrl} and keeps their element tokens`,
      ...props,
    });
    // An id that adds nothing to logical ids: a stack from before the construct is upgraded in place.
    new ElementOnboarding(this, 'Default', {
      ...others,
      code,
      alarmTopic:
        alarmTopicArn === undefined ? undefined : Topic.fromTopicArn(this, 'AlarmTopic', alarmTopicArn),
      eventBus:
        eventBusArn === undefined ? undefined : EventBus.fromEventBusArn(this, 'EventBus', eventBusArn),
    });
  }
}
