//! Where the lake lies: on an S3 server behind a proxy that can fail, or in a folder.

use crate::schedule::BucketFault;
use std::{path::Path, time::Duration};
use streamsync_core::config::BucketConfig;
use streamsync_lake::Lake;
use streamsync_testing::{Cut, Fault, Rule, S3Proxy, s3_bucket, s3_endpoint};

pub struct Bucket {
    /// As the test reads it, without faults.
    config: BucketConfig,
    proxy: Option<S3Proxy>,
}

impl Bucket {
    /// On the S3 server for tests if there is one, else in a folder.
    pub async fn new(folder: &Path) -> Self {
        match s3_endpoint() {
            Some(endpoint) => Self {
                config: s3_bucket("chaos", &endpoint),
                proxy: Some(S3Proxy::start(&endpoint).await),
            },
            None => Self {
                config: BucketConfig {
                    url: folder.join("lake").display().to_string(),
                    ..BucketConfig::default()
                },
                proxy: None,
            },
        }
    }

    /// The same for processes, which may see it fail.
    pub fn flags(&self) -> Vec<String> {
        let mut flags = vec!["--bucket".to_owned(), self.config.url.clone()];
        if let Some(proxy) = &self.proxy {
            flags.extend(["--s3-endpoint".to_owned(), proxy.url()]);
        }
        flags
    }

    pub fn environment(&self) -> Vec<(String, String)> {
        let keys = ["ACCESS_KEY_ID", "SECRET_ACCESS_KEY"];
        let name = |key: &str| format!("STREAMSYNC_BUCKET__{key}");
        keys.map(|key| (name(key), "test".to_owned())).into()
    }

    pub fn lake(&self) -> Lake {
        Lake::open(&self.config).unwrap()
    }

    pub fn can_fail(&self) -> bool {
        self.proxy.is_some()
    }

    /// Fails so from now on. Never with a body that is shorter than it should be and says nothing of
    /// it: of a commit no reader can tell that.
    pub fn fail(&self, fault: BucketFault, seed: u64) {
        let (fault, share) = match fault {
            BucketFault::Slow => (Fault::Slow(Duration::from_millis(300)), 0.5),
            BucketFault::InternalError => (Fault::InternalError, 0.3),
            BucketFault::SlowDown => (Fault::SlowDown, 0.5),
            BucketFault::Reset => (Fault::Reset(Cut::Percent(50)), 0.3),
            BucketFault::Truncated => (Fault::Truncated(Cut::Percent(50)), 0.3),
            BucketFault::LostAnswer => (Fault::LostAnswer, 0.2),
            BucketFault::ErrorAfterwards => (Fault::ErrorAfterwards, 0.2),
            BucketFault::StaleList => (Fault::StaleList, 1.0),
        };
        if let Some(proxy) = &self.proxy {
            proxy.inject(Rule::new(fault).share(share, seed));
        }
    }

    pub fn heal(&self) {
        if let Some(proxy) = &self.proxy {
            proxy.heal();
        }
    }

    /// How many requests there were, and how many of them failed.
    pub fn report(&self) -> Option<String> {
        let proxy = self.proxy.as_ref()?;
        let (requests, kinds) = (proxy.requests(), proxy.injected_by_kind());
        Some(format!(
            "{requests} requests to the bucket, faults {kinds:?}"
        ))
    }
}
