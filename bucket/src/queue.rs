//! The queue that a bucket tells of new versions of tables.

use crate::{CreateBucketError, Place, clients};
use aws_sdk_s3::{
    Client,
    types::{
        Event, FilterRule, FilterRuleName, NotificationConfiguration,
        NotificationConfigurationFilter, QueueConfiguration, S3KeyFilter,
    },
};
use aws_sdk_sqs::types::QueueAttributeName;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;
use streamsync_core::config::BucketConfig;
use url::Url;

/// What is escaped in the values of filters, as S3 asks for special characters ("Configuring event
/// notifications using object key name filtering"): it compares them with keys as messages have them.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'/')
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// For how many seconds a message is kept: whoever comes later polls the lake anyway.
const KEPT_S: u32 = 600;

/// Makes the queue of a lake, lets the bucket write to it, and has the bucket do so.
pub(crate) async fn set(
    s3: &Client,
    config: &BucketConfig,
    place: &Place,
) -> Result<Url, CreateBucketError> {
    let unsaid = |what| CreateBucketError::Unsaid {
        bucket: place.bucket.clone(),
        what,
    };
    let failed = CreateBucketError::call("make a queue for", &place.bucket);
    let sqs = clients::sqs(config, None).await;
    let made = sqs.create_queue().queue_name(place.name()).send().await;
    let url = made.map_err(|error| failed(&error))?.queue_url;
    let url = url.ok_or_else(|| unsaid("its URL"))?;
    let asked = sqs.get_queue_attributes().queue_url(&url);
    let asked = asked.attribute_names(QueueAttributeName::QueueArn);
    let attributes = asked.send().await.map_err(|error| failed(&error))?;
    let arn = attributes.attributes.unwrap_or_default();
    let arn = arn.get(&QueueAttributeName::QueueArn).cloned();
    let arn = arn.ok_or_else(|| unsaid("its ARN"))?;
    sqs.set_queue_attributes()
        .queue_url(&url)
        .attributes(
            QueueAttributeName::MessageRetentionPeriod,
            KEPT_S.to_string(),
        )
        .attributes(QueueAttributeName::Policy, policy(&arn, &place.bucket))
        .send()
        .await
        .map_err(|error| failed(&error))?;
    subscribe(s3, place, arn).await?;
    Url::parse(&url).map_err(|_| unsaid("a URL of it that is one"))
}

/// Only this bucket may write.
fn policy(queue: &str, bucket: &str) -> String {
    let policy = json!({
        "Version": "2012-10-17",
        "Statement": [{
            "Effect": "Allow",
            "Principal": { "Service": "s3.amazonaws.com" },
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": { "ArnEquals": { "aws:SourceArn": format!("arn:aws:s3:::{bucket}") } },
        }],
    });
    policy.to_string()
}

/// Has the bucket tell the queue of each entry of a log, beside what it tells others.
async fn subscribe(s3: &Client, place: &Place, arn: String) -> Result<(), CreateBucketError> {
    let failed = CreateBucketError::call("set the notifications of", &place.bucket);
    let asked = s3.get_bucket_notification_configuration();
    let present = asked.bucket(&place.bucket).send().await;
    let present = present.map_err(|error| failed(&error))?;
    let rule = |name, value: &str| FilterRule::builder().name(name).value(value).build();
    let prefix = utf8_percent_encode(&place.prefix, ESCAPED).to_string();
    let keys = S3KeyFilter::builder()
        .filter_rules(rule(FilterRuleName::Prefix, &prefix))
        .filter_rules(rule(FilterRuleName::Suffix, ".json"))
        .build();
    let queue = QueueConfiguration::builder()
        .id(place.name())
        .queue_arn(arn)
        .events(Event::S3ObjectCreated)
        .filter(NotificationConfigurationFilter::builder().key(keys).build())
        .build()
        .map_err(|error| failed(&error))?;
    let mut queues = present.queue_configurations.unwrap_or_default();
    queues.retain(|other| other.id != queue.id);
    queues.push(queue);
    let configuration = NotificationConfiguration::builder()
        .set_queue_configurations(Some(queues))
        .set_topic_configurations(present.topic_configurations)
        .set_lambda_function_configurations(present.lambda_function_configurations)
        .set_event_bridge_configuration(present.event_bridge_configuration)
        .build();
    s3.put_bucket_notification_configuration()
        .bucket(&place.bucket)
        .notification_configuration(configuration)
        .send()
        .await
        .map_err(|error| failed(&error))?;
    Ok(())
}
