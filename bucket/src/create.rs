//! Making a bucket, with its rules and its queue. Done twice it does no more than done once.

use crate::{
    InvalidPlace, Place, clients,
    lifecycle::{self, Rules},
    queue,
};
use aws_sdk_s3::{
    Client,
    error::{DisplayErrorContext, SdkError},
    types::{BucketLocationConstraint, CreateBucketConfiguration},
};
use std::error::Error;
use streamsync_core::config::BucketConfig;
use url::Url;

/// The region whose buckets may not be created by naming it.
const FIRST_REGION: &str = "us-east-1";

/// What there is now.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Created {
    /// Where.
    pub place: Place,
    /// Whether the bucket was not there before.
    pub is_new: bool,
    /// The queue that is told of new versions of tables, if one was asked for.
    pub queue: Option<Url>,
}

/// Why a bucket is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum CreateBucketError {
    /// No bucket was named.
    #[error(transparent)]
    Place(#[from] InvalidPlace),
    /// A call was refused, or not answered. What was done before stays; done again, the rest is done.
    #[error("could not {what} {place}: {message}")]
    Call {
        /// What was being done.
        what: &'static str,
        /// To what.
        place: String,
        /// In the server's words.
        message: String,
    },
    /// The server said something that cannot be understood.
    #[error("the server made a queue for {bucket} and did not say {what}")]
    Unsaid {
        /// For which bucket.
        bucket: String,
        /// What is missing.
        what: &'static str,
    },
}

impl CreateBucketError {
    pub(crate) fn call(what: &'static str, place: &str) -> impl Fn(&dyn Error) -> Self {
        move |error| Self::Call {
            what,
            place: place.to_owned(),
            message: DisplayErrorContext(error).to_string(),
        }
    }
}

/// Makes the bucket if it is not there, sets the rules by which it cleans itself, and, if `notify`, makes
/// a queue that is told of each new version of a table. Rules and queues of others stay.
///
/// # Errors
///
/// A URL that names no bucket; a server that refuses: SQS is asked for a queue at the bucket's own
/// endpoint, which only AWS and LocalStack have.
pub async fn create(config: &BucketConfig, notify: bool) -> Result<Created, CreateBucketError> {
    let place = Place::of(config)?;
    let s3 = clients::s3(config).await;
    let is_new = make(&s3, &place, &config.region).await?;
    lifecycle::set(&s3, &place, Rules::of(&place)).await?;
    let queue = match notify {
        true => Some(queue::set(&s3, config, &place).await?),
        false => None,
    };
    Ok(Created {
        place,
        is_new,
        queue,
    })
}

/// Whether it was not there before.
async fn make(s3: &Client, place: &Place, region: &str) -> Result<bool, CreateBucketError> {
    match s3.head_bucket().bucket(&place.bucket).send().await {
        Ok(_there) => return Ok(false),
        Err(SdkError::ServiceError(answer)) if answer.err().is_not_found() => {}
        Err(error) => return Err(CreateBucketError::call("look at", &place.bucket)(&error)),
    }
    let mut creation = s3.create_bucket().bucket(&place.bucket);
    if region != FIRST_REGION {
        let location = CreateBucketConfiguration::builder()
            .location_constraint(BucketLocationConstraint::from(region))
            .build();
        creation = creation.create_bucket_configuration(location);
    }
    match creation.send().await {
        Ok(_made) => Ok(true),
        // Somebody else of the same account was faster.
        Err(SdkError::ServiceError(answer)) if answer.err().is_bucket_already_owned_by_you() => {
            Ok(false)
        }
        Err(error) => Err(CreateBucketError::call("create", &place.bucket)(&error)),
    }
}
