//! Where the lake lies for cold queries: its folder, or a copy of it in an S3 bucket.

use crate::{Fallible, lake, options::Place};
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use object_store::{
    ObjectStore, ObjectStoreExt, PutPayload, aws::AmazonS3Builder, local::LocalFileSystem,
    path::Path,
};
use std::sync::Arc;
use streamsync_core::config::BucketConfig;
use streamsync_lake::{DataFile, Lake};

/// Names the S3 endpoint, such as the one that `localstack/start` prints. It needs the bucket
/// below, open to the key `test` with the secret `test`.
const ENDPOINT: &str = "STREAMSYNC_BENCH_S3";
const BUCKET: &str = "streamsync-test";
const KEY: &str = "test";
/// Objects that are copied at once.
const COPIES: usize = 8;

/// A lake, and the object store below it.
pub struct Bucket {
    /// The lake.
    pub lake: Lake,
    /// What it is, for people.
    pub described: String,
    store: Arc<dyn ObjectStore>,
    prefix: String,
}

impl Bucket {
    /// The lake at a scale: in a folder, or in S3 if the environment names an endpoint.
    pub async fn open(place: &Place, scale: u64) -> Fallible<Self> {
        let local = lake::open(place, scale).await?;
        let folder = lake::folder(place, scale);
        let files = LocalFileSystem::new_with_prefix(&folder)?;
        let endpoint = std::env::var(ENDPOINT).unwrap_or_default();
        if endpoint.is_empty() {
            return Ok(Self {
                lake: local,
                described: "a folder, whose files the system has in memory".to_owned(),
                store: Arc::new(files),
                prefix: String::new(),
            });
        }
        let store = AmazonS3Builder::new()
            .with_endpoint(&endpoint)
            .with_allow_http(endpoint.starts_with("http://"))
            .with_region("us-east-1")
            .with_bucket_name(BUCKET)
            .with_access_key_id(KEY)
            .with_secret_access_key(KEY)
            .build()?;
        let prefix = format!("bench/lake-{scale}-{}/", place.seed);
        copy(&files, &store, &prefix).await?;
        let config = BucketConfig {
            url: format!("s3://{BUCKET}/{prefix}"),
            endpoint: Some(endpoint.clone()),
            access_key_id: Some(KEY.to_owned()),
            secret_access_key: Some(KEY.to_owned().into()),
            ..BucketConfig::default()
        };
        Ok(Self {
            lake: Lake::open(&config)?,
            described: format!("S3 at {endpoint}"),
            store: Arc::new(store),
            prefix,
        })
    }

    /// Gets whole files, all at once, and says how many bytes they have.
    pub async fn get(&self, files: &[(&'static str, DataFile)]) -> Fallible<u64> {
        let gets = files.iter().map(async |(table, file)| {
            let path = Path::parse(format!("{}{table}/{}", self.prefix, file.path))?;
            let bytes = self.store.get(&path).await?.bytes().await?;
            Fallible::Ok(bytes.len() as u64)
        });
        Ok(try_join_all(gets).await?.into_iter().sum())
    }
}

/// Copies a lake, unless that was done before.
async fn copy(from: &LocalFileSystem, to: &impl ObjectStore, prefix: &str) -> Fallible<()> {
    // Put last: a copy without it is unfinished.
    let done = Path::parse(format!("{prefix}complete"))?;
    if to.head(&done).await.is_ok() {
        return Ok(());
    }
    let objects: Vec<_> = from.list(None).try_collect().await?;
    stream::iter(objects)
        .map(async |object| {
            let bytes = from.get(&object.location).await?.bytes().await?;
            let path = Path::parse(format!("{prefix}{}", object.location))?;
            to.put(&path, bytes.into()).await?;
            Fallible::Ok(())
        })
        .buffer_unordered(COPIES)
        .try_collect::<()>()
        .await?;
    to.put(&done, PutPayload::default()).await?;
    Ok(())
}
