//! From a bucket's configuration to the object store that speaks to it.

use crate::{
    OpenLakeError, checked_store::CheckedStore, engine, traced_store::TracedStore,
    whole_lists::WholeLists,
};
use object_store::{
    BackoffConfig, ClientOptions, ObjectStore, RetryConfig,
    aws::{AmazonS3Builder, S3ConditionalPut},
    client::SpawnedReqwestConnector,
    local::LocalFileSystem,
    memory::InMemory,
};
use std::{
    path::Path,
    sync::{Arc, LazyLock},
    time::Duration,
};
use streamsync_core::config::BucketConfig;
use url::Url;

/// How long to wait for a connection. With the retries below, a server that is not there is an
/// error after about ten seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// How long one request may take, its body included.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(60);
/// How many connections wait for the next request, and for how long. A burst of requests opens as many as it
/// has at once; without a bound all of them would stay open for a while.
const MAX_IDLE: usize = 64;
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);
/// How long after its first attempt a request is tried again.
const RETRY_TIMEOUT: Duration = Duration::from_secs(6);
const MAX_RETRIES: usize = 5;

/// The store of every `memory:///name` of this process; the name is the first part of the path.
static MEMORY: LazyLock<Arc<InMemory>> = LazyLock::new(|| Arc::new(InMemory::new()));

/// Reads the bucket's URL, or path, into a URL that ends in `/`, and makes a client for it.
pub(crate) fn open(bucket: &BucketConfig) -> Result<(Url, Arc<dyn ObjectStore>), OpenLakeError> {
    let url = directory_url(&bucket.url)?;
    let store: Arc<dyn ObjectStore> = match url.scheme() {
        "file" => Arc::new(LocalFileSystem::new()),
        "memory" => MEMORY.clone(),
        "s3" => Arc::new(CheckedStore::new(s3(&url, bucket)?)),
        _ => {
            return Err(OpenLakeError::UnknownScheme {
                url: bucket.url.clone(),
            });
        }
    };
    Ok((url, Arc::new(TracedStore::new(store))))
}

fn s3(url: &Url, bucket: &BucketConfig) -> Result<Arc<dyn ObjectStore>, OpenLakeError> {
    let name = url.host_str().ok_or_else(|| OpenLakeError::NoBucketName {
        url: url.to_string(),
    })?;
    let client = ClientOptions::new()
        .with_connect_timeout(CONNECT_TIMEOUT)
        .with_timeout(REQUEST_TIMEOUT)
        .with_pool_idle_timeout(IDLE_TIMEOUT)
        .with_pool_max_idle_per_host(MAX_IDLE);
    let retry = RetryConfig {
        backoff: BackoffConfig {
            init_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(2),
            base: 2.0,
        },
        max_retries: MAX_RETRIES,
        retry_timeout: RETRY_TIMEOUT,
    };
    // Without keys of our own, the environment and the machine's role are asked as AWS's tools do.
    let mut builder = match bucket.access_key_id {
        Some(_) => AmazonS3Builder::new(),
        None => AmazonS3Builder::from_env(),
    }
    .with_client_options(client)
    .with_retry(retry)
    .with_http_connector(WholeLists(SpawnedReqwestConnector::new(engine::runtime()?)))
    .with_bucket_name(name)
    .with_region(&bucket.region)
    .with_virtual_hosted_style_request(false)
    // The whole of Delta's safety rests on this: a version is written by one writer only.
    .with_conditional_put(S3ConditionalPut::ETagMatch);
    if let Some(endpoint) = &bucket.endpoint {
        builder = builder
            .with_endpoint(endpoint)
            .with_allow_http(endpoint.starts_with("http://"));
    }
    if let Some(key) = &bucket.access_key_id {
        builder = builder.with_access_key_id(key);
    }
    if let Some(secret) = &bucket.secret_access_key {
        builder = builder.with_secret_access_key(secret.expose());
    }
    if let Some(token) = &bucket.session_token {
        builder = builder.with_token(token.expose());
    }
    let store = builder.build().map_err(|source| OpenLakeError::Client {
        url: url.to_string(),
        source,
    })?;
    Ok(Arc::new(store))
}

/// The URL of a folder: a URL as it is, a path made absolute, and a `/` at the end.
fn directory_url(text: &str) -> Result<Url, OpenLakeError> {
    if !text.contains("://") {
        let path = std::path::absolute(Path::new(text)).map_err(|source| OpenLakeError::Path {
            path: text.to_owned(),
            source,
        })?;
        return Url::from_directory_path(&path).map_err(|()| OpenLakeError::UnknownScheme {
            url: text.to_owned(),
        });
    }
    let mut url = Url::parse(text).map_err(|source| OpenLakeError::Url {
        url: text.to_owned(),
        source,
    })?;
    if !url.path().ends_with('/') {
        url.set_path(&format!("{}/", url.path()));
    }
    let nameless = match url.scheme() {
        "s3" => url.host_str().is_none(),
        "memory" => url.path() == "/" || url.host_str().is_some(),
        "file" => url.path() == "/" || url.host_str().is_some(),
        _ => false,
    };
    if nameless {
        return Err(OpenLakeError::NoBucketName {
            url: text.to_owned(),
        });
    }
    Ok(url)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
mod tests {
    use super::*;

    fn url_of(text: &str) -> Result<String, OpenLakeError> {
        let bucket = BucketConfig {
            url: text.to_owned(),
            ..BucketConfig::default()
        };
        open(&bucket).map(|(url, _)| url.to_string())
    }

    #[test]
    fn urls_and_paths_become_folders() {
        assert_eq!(url_of("s3://chain/lake").unwrap(), "s3://chain/lake/");
        assert_eq!(url_of("s3://chain").unwrap(), "s3://chain/");
        assert_eq!(url_of("memory:///a").unwrap(), "memory:///a/");
        assert_eq!(url_of("file:///a/b c").unwrap(), "file:///a/b%20c/");
        assert_eq!(url_of("/a/b").unwrap(), "file:///a/b/");
        let here = std::env::current_dir().unwrap().join("lake");
        let here = Url::from_directory_path(here).unwrap();
        assert_eq!(url_of("./lake").unwrap(), here.to_string());
    }

    #[test]
    fn a_url_that_names_no_bucket_is_refused() {
        for text in ["s3://", "s3:///a", "memory:///", "memory://a", "file://a/b"] {
            let error = url_of(text).unwrap_err().to_string();
            assert!(error.contains(text), "{text}: {error}");
        }
    }

    #[test]
    fn an_unknown_scheme_is_refused() {
        let error = url_of("ftp://a/b").unwrap_err();
        assert!(
            matches!(error, OpenLakeError::UnknownScheme { .. }),
            "{error}"
        );
    }
}
