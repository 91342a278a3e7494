//! Where the lake lies.

use crate::Secret;
use serde::{Deserialize, Serialize};
use url::Url;

/// The bucket that holds the lake, section `[bucket]`.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(default, deny_unknown_fields)]
pub struct BucketConfig {
    /// `s3://bucket/prefix`, `file:///folder`, a plain path, or `memory:///name`.
    pub url: String,
    /// The S3 endpoint, `http://…` or `https://…`; without one, AWS's for the region.
    pub endpoint: Option<String>,
    /// The S3 region.
    pub region: String,
    /// The S3 access key; without one, the environment and instance roles are asked as AWS's own
    /// tools do.
    pub access_key_id: Option<String>,
    /// The secret of the access key.
    pub secret_access_key: Option<Secret>,
    /// The session token of temporary credentials.
    pub session_token: Option<Secret>,
    /// The URL of an SQS queue that the bucket tells of new objects; `streamsync bucket create` makes
    /// one. Routers that listen to it learn of new versions of tables at once, and tell all others
    /// by way of Redis; without one, everybody polls.
    pub notifications: Option<Url>,
}

impl Default for BucketConfig {
    fn default() -> Self {
        Self {
            url: "./streamsync-lake".to_owned(),
            endpoint: None,
            region: "us-east-1".to_owned(),
            access_key_id: None,
            secret_access_key: None,
            session_token: None,
            notifications: None,
        }
    }
}
