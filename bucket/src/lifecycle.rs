//! The rules by which a bucket cleans itself.
//!
//! Data files are deleted by the compactor, which knows who may still read them; never by a rule. What a
//! rule may delete is what nobody can read any more: parts of uploads that were broken off, and, where the
//! bucket keeps versions, what was deleted or overwritten.

use crate::{CreateBucketError, Place};
use aws_sdk_s3::{
    Client,
    error::{ProvideErrorMetadata, SdkError},
    types::{
        AbortIncompleteMultipartUpload, BucketLifecycleConfiguration, ExpirationStatus,
        LifecycleRule, LifecycleRuleFilter, NoncurrentVersionExpiration,
    },
};

/// After how many days parts of uploads that were not finished are deleted: no upload takes one.
const ABORT_AFTER_DAYS: i32 = 1;
/// For how many days what was deleted can be brought back, where the bucket keeps versions.
const BRING_BACK_DAYS: i32 = 7;

/// The rule of one lake.
pub(crate) struct Rules {
    id: String,
    prefix: String,
}

impl Rules {
    pub(crate) fn of(place: &Place) -> Self {
        Self {
            id: place.name(),
            prefix: place.prefix.clone(),
        }
    }

    fn rule(&self) -> Result<LifecycleRule, aws_sdk_s3::error::BuildError> {
        LifecycleRule::builder()
            .id(&self.id)
            .status(ExpirationStatus::Enabled)
            .filter(LifecycleRuleFilter::builder().prefix(&self.prefix).build())
            .abort_incomplete_multipart_upload(
                AbortIncompleteMultipartUpload::builder()
                    .days_after_initiation(ABORT_AFTER_DAYS)
                    .build(),
            )
            .noncurrent_version_expiration(
                NoncurrentVersionExpiration::builder()
                    .noncurrent_days(BRING_BACK_DAYS)
                    .build(),
            )
            .build()
    }
}

/// Sets the rule of a lake beside those of others.
pub(crate) async fn set(s3: &Client, place: &Place, rules: Rules) -> Result<(), CreateBucketError> {
    let failed = CreateBucketError::call("set the lifecycle rules of", &place.bucket);
    let asked = s3.get_bucket_lifecycle_configuration();
    let mut all = match asked.bucket(&place.bucket).send().await {
        Ok(present) => present.rules.unwrap_or_default(),
        Err(SdkError::ServiceError(answer))
            if answer.err().code() == Some("NoSuchLifecycleConfiguration") =>
        {
            Vec::new()
        }
        Err(error) => return Err(failed(&error)),
    };
    all.retain(|rule| rule.id.as_deref() != Some(&rules.id));
    all.push(rules.rule().map_err(|error| failed(&error))?);
    let configuration = BucketLifecycleConfiguration::builder()
        .set_rules(Some(all))
        .build()
        .map_err(|error| failed(&error))?;
    s3.put_bucket_lifecycle_configuration()
        .bucket(&place.bucket)
        .lifecycle_configuration(configuration)
        .send()
        .await
        .map_err(|error| failed(&error))?;
    Ok(())
}
