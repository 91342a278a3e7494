//! Clients of S3 and SQS, by the configuration of the bucket.

use aws_config::{ConfigLoader, Region, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_s3::config::Credentials;
use std::time::Duration;
use streamsync_core::config::BucketConfig;
use url::Url;

/// How long a connection, and a whole call, may take. A call that waits for messages takes 20 seconds
/// when there are none.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
const CALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How often a call is made at the most, with growing pauses of random length between.
const ATTEMPTS: u32 = 4;

pub(crate) async fn s3(bucket: &BucketConfig) -> aws_sdk_s3::Client {
    let mut loader = loader(bucket);
    if let Some(endpoint) = &bucket.endpoint {
        loader = loader.endpoint_url(endpoint);
    }
    let config = aws_sdk_s3::config::Builder::from(&loader.load().await)
        .force_path_style(true)
        .build();
    aws_sdk_s3::Client::from_conf(config)
}

/// A client of the SQS that a queue is on, or of the bucket's own endpoint.
pub(crate) async fn sqs(bucket: &BucketConfig, queue: Option<&Url>) -> aws_sdk_sqs::Client {
    let of_queue = queue.map(|queue| queue.origin().ascii_serialization());
    let mut loader = loader(bucket);
    if let Some(endpoint) = of_queue.or_else(|| bucket.endpoint.clone()) {
        loader = loader.endpoint_url(endpoint);
    }
    let config: SdkConfig = loader.load().await;
    aws_sdk_sqs::Client::new(&config)
}

/// Without keys in the configuration, the environment and the machine's role are asked as AWS's own
/// tools do.
fn loader(bucket: &BucketConfig) -> ConfigLoader {
    let timeouts = TimeoutConfig::builder()
        .connect_timeout(CONNECT_TIMEOUT)
        .operation_attempt_timeout(CALL_TIMEOUT)
        .build();
    let loader = aws_config::from_env()
        .region(Region::new(bucket.region.clone()))
        .retry_config(RetryConfig::standard().with_max_attempts(ATTEMPTS))
        .timeout_config(timeouts);
    match (&bucket.access_key_id, &bucket.secret_access_key) {
        (Some(key), Some(secret)) => {
            let token = bucket.session_token.as_ref();
            let token = token.map(|token| token.expose().to_owned());
            loader.credentials_provider(Credentials::new(
                key,
                secret.expose(),
                token,
                None,
                "configuration",
            ))
        }
        _ => loader,
    }
}
