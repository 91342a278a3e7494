//! What an object store does, below the lake. What StreamSync needs has to hold; in what it does not
//! need stores may differ, and how they do is noted.

use crate::outcome::{Outcome, note};
use bytes::Bytes;
use futures::{
    StreamExt, TryStreamExt,
    future::{join_all, try_join_all},
    stream,
};
use object_store::{
    Attribute, Attributes, CopyMode, CopyOptions, Error, GetOptions, GetRange, ObjectStore,
    ObjectStoreExt, PutMode, PutOptions, UpdateVersion, WriteMultipart,
    aws::{AmazonS3, AmazonS3Builder, S3ConditionalPut, S3CopyIfNotExists},
    local::LocalFileSystem,
    memory::InMemory,
    path::Path,
};
use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};
use streamsync_core::config::BucketConfig;
use streamsync_testing::Suite;
use tempfile::TempDir;
use tokio::sync::Barrier;

/// A store, and where in it a test may write.
struct Place {
    store: Arc<dyn ObjectStore>,
    folder: Path,
    /// How it is reached, where that is over S3.
    bucket: Option<BucketConfig>,
    _kept: Option<TempDir>,
}

impl Place {
    fn folder() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let store = LocalFileSystem::new_with_prefix(folder.path()).unwrap();
        Self {
            store: Arc::new(store),
            folder: Path::from("at"),
            bucket: None,
            _kept: Some(folder),
        }
    }

    fn memory() -> Self {
        Self {
            store: Arc::new(InMemory::new()),
            folder: Path::from("at"),
            bucket: None,
            _kept: None,
        }
    }

    fn s3(bucket: BucketConfig) -> Self {
        let url = url::Url::parse(&bucket.url).unwrap();
        Self {
            store: Arc::new(client(&bucket, "test")),
            folder: Path::from_url_path(url.path()).unwrap(),
            bucket: Some(bucket),
            _kept: None,
        }
    }

    fn at(&self, name: &str) -> Path {
        name.split('/')
            .fold(self.folder.clone(), |path, part| path.join(part))
    }

    async fn put(&self, name: &str, bytes: &'static [u8]) -> Path {
        let path = self.at(name);
        let bytes = Bytes::from_static(bytes);
        self.store.put(&path, bytes.into()).await.unwrap();
        path
    }

    async fn get(&self, path: &Path) -> Bytes {
        self.store.get(path).await.unwrap().bytes().await.unwrap()
    }

    async fn names(&self) -> Vec<String> {
        let listed = self.store.list(Some(&self.folder));
        let listed: Vec<_> = listed.try_collect().await.unwrap();
        listed
            .iter()
            .map(|object| object.location.to_string())
            .collect()
    }
}

/// A client as the lake makes it.
fn client(bucket: &BucketConfig, secret: &str) -> AmazonS3 {
    let endpoint = bucket.endpoint.as_deref().unwrap();
    AmazonS3Builder::new()
        .with_url(&bucket.url)
        .with_endpoint(endpoint)
        .with_allow_http(true)
        .with_region(&bucket.region)
        .with_virtual_hosted_style_request(false)
        .with_conditional_put(S3ConditionalPut::ETagMatch)
        .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
        .with_access_key_id("test")
        .with_secret_access_key(secret)
        .build()
        .unwrap()
}

/// Adds each behaviour three times: over a folder, in memory and over S3.
pub fn add(suite: &mut Suite) {
    macro_rules! behaviours {
        ($($behaviour:ident,)*) => {$(
            let behaviour = stringify!($behaviour);
            suite.test(&format!("folder::{behaviour}"), move || async move {
                note("folder", behaviour, &$behaviour(Place::folder()).await);
            });
            suite.test(&format!("memory::{behaviour}"), move || async move {
                note("memory", behaviour, &$behaviour(Place::memory()).await);
            });
            suite.needs_s3(&format!("s3::{behaviour}"), move |bucket| async move {
                note("s3", behaviour, &$behaviour(Place::s3(bucket)).await);
            });
        )*};
    }
    behaviours!(
        store_creates_once_among_sixteen,
        store_reads_what_was_written,
        store_reads_what_was_overwritten,
        store_lists_what_was_written,
        store_lists_thousands_in_order,
        store_lists_folders,
        store_reads_ranges,
        store_reads_ranges_of_one_version,
        store_says_what_is_absent,
        store_deletes_thousands,
        store_puts_in_parts,
        store_forgets_aborted_parts,
        store_keeps_keys_as_they_are,
        store_says_when_it_wrote,
        store_deletes_what_is_absent,
        store_replaces_if_unchanged,
        store_completes_parts_once,
        store_refuses_a_wrong_secret,
        store_takes_a_storage_class,
    );
}

const CREATE: PutMode = PutMode::Create;

/// Needed: a version of a Delta table has one writer.
async fn store_creates_once_among_sixteen(place: Place) -> Outcome {
    for round in 0..10 {
        let path = place.at(&format!("{round:020}.json"));
        let barrier = Arc::new(Barrier::new(16));
        let racers = (0..16).map(|racer| {
            let (store, path, barrier) = (place.store.clone(), path.clone(), barrier.clone());
            tokio::spawn(async move {
                let bytes = format!("by {racer}");
                barrier.wait().await;
                let put = store.put_opts(&path, bytes.clone().into(), CREATE.into());
                match put.await {
                    Ok(_) => Some(bytes),
                    Err(Error::AlreadyExists { .. }) => None,
                    Err(error) => panic!("{error}"),
                }
            })
        });
        let raced = join_all(racers).await.into_iter().map(Result::unwrap);
        let winners: Vec<String> = raced.flatten().collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(place.get(&path).await, winners[0].as_bytes());
    }
    Outcome::Holds
}

/// Needed: what was put can be read at once, also if it is nothing.
async fn store_reads_what_was_written(place: Place) -> Outcome {
    for (name, bytes) in [("some", &b"some bytes"[..]), ("none", b"")] {
        let path = place.put(name, bytes).await;
        let read = place.store.get(&path).await.unwrap();
        assert_eq!(
            (read.meta.size, &read.meta.location),
            (bytes.len() as u64, &path)
        );
        assert_eq!(read.bytes().await.unwrap(), bytes);
        assert_eq!(
            place.store.head(&path).await.unwrap().size,
            bytes.len() as u64
        );
    }
    Outcome::Holds
}

/// Needed: `_last_checkpoint` is the one object that is written again.
async fn store_reads_what_was_overwritten(place: Place) -> Outcome {
    let mut etags = BTreeSet::new();
    for bytes in [&b"first"[..], b"second one", b"3rd"] {
        let path = place.put("again", bytes).await;
        assert_eq!(place.get(&path).await, bytes);
        let listed: Vec<_> = place
            .store
            .list(Some(&place.folder))
            .try_collect()
            .await
            .unwrap();
        assert_eq!((listed.len(), listed[0].size), (1, bytes.len() as u64));
        etags.insert(place.store.head(&path).await.unwrap().e_tag.unwrap());
    }
    assert_eq!(etags.len(), 3, "{etags:?}");
    Outcome::Holds
}

/// Needed: a commit is listed as soon as it was made, and what was deleted is not.
async fn store_lists_what_was_written(place: Place) -> Outcome {
    let mut expected = Vec::new();
    for number in 0..20 {
        let path = place.put(&format!("{number:020}.json"), b"{}").await;
        expected.push(path.to_string());
        let mut listed = place.names().await;
        listed.sort();
        assert_eq!(listed, expected);
    }
    place
        .store
        .delete(&Path::from(expected.pop().unwrap()))
        .await
        .unwrap();
    let mut listed = place.names().await;
    listed.sort();
    assert_eq!(listed, expected);
    Outcome::Holds
}

async fn many(place: &Place, count: usize) -> Vec<String> {
    let names: Vec<String> = (0..count)
        .map(|number| format!("log/{number:020}.json"))
        .collect();
    stream::iter(&names)
        .for_each_concurrent(16, |name| async { drop(place.put(name, b"{}").await) })
        .await;
    names
        .iter()
        .map(|name| place.at(name).to_string())
        .collect()
}

/// Needed over S3, where the Delta kernel does not sort what is listed: all pages, in the order of
/// their names, also from one of them on.
async fn store_lists_thousands_in_order(place: Place) -> Outcome {
    let expected = many(&place, 2_100).await;
    let log = place.at("log");
    let listed = place.store.list(Some(&log));
    let listed: Vec<_> = listed
        .map_ok(|object| object.location.to_string())
        .try_collect()
        .await
        .unwrap();
    let offset = Path::from(expected[1_049].as_str());
    let later = place.store.list_with_offset(Some(&log), &offset);
    let later: Vec<_> = later
        .map_ok(|object| object.location.to_string())
        .try_collect()
        .await
        .unwrap();
    let sorted = |names: &[String]| {
        let mut names = names.to_vec();
        names.sort();
        names
    };
    assert_eq!(sorted(&listed), expected);
    assert_eq!(sorted(&later), expected[1_050..]);
    if listed == expected && later == expected[1_050..] {
        return Outcome::Holds;
    }
    assert!(
        place.bucket.is_none(),
        "the kernel takes the order of lists over S3 as it is"
    );
    Outcome::Differs("in no order".to_owned())
}

/// Needed: the tables of a lake are its folders.
async fn store_lists_folders(place: Place) -> Outcome {
    for name in ["blocks/a", "blocks/b/c", "rewards/a", "file"] {
        place.put(name, b"x").await;
    }
    let listed = place
        .store
        .list_with_delimiter(Some(&place.folder))
        .await
        .unwrap();
    let folders: BTreeSet<_> = listed.common_prefixes.into_iter().collect();
    assert_eq!(folders, [place.at("blocks"), place.at("rewards")].into());
    assert_eq!(listed.objects.len(), 1);
    let nothing = place.store.list(Some(&place.at("block"))).next().await;
    let absent = |error: &Error| matches!(error, Error::NotFound { .. });
    assert!(
        nothing.is_none_or(|one| one.as_ref().is_err_and(absent)),
        "a prefix is a folder"
    );
    Outcome::Holds
}

/// Needed: pages and footers of files are read alone.
async fn store_reads_ranges(place: Place) -> Outcome {
    let path = place.put("digits", b"0123456789").await;
    let read = async |range: GetRange| {
        let options = GetOptions {
            range: Some(range),
            ..GetOptions::default()
        };
        let read = place.store.get_opts(&path, options).await.unwrap();
        assert_eq!(read.meta.size, 10);
        (read.range.clone(), read.bytes().await.unwrap())
    };
    assert_eq!(read(GetRange::Bounded(2..5)).await, (2..5, "234".into()));
    assert_eq!(
        read(GetRange::Bounded(0..10)).await,
        (0..10, "0123456789".into())
    );
    assert_eq!(read(GetRange::Offset(7)).await, (7..10, "789".into()));
    assert_eq!(read(GetRange::Suffix(4)).await, (6..10, "6789".into()));
    assert_eq!(read(GetRange::Bounded(8..99)).await, (8..10, "89".into()));
    let several = place.store.get_ranges(&path, &[0..1, 9..10]).await.unwrap();
    assert_eq!(several, ["0", "9"]);
    let past = place.store.get_range(&path, 10..12).await;
    assert!(past.is_err(), "{past:?}");
    Outcome::Holds
}

/// Needed: all parts of a download are of one object (`If-Match` with the ETag of the first).
async fn store_reads_ranges_of_one_version(place: Place) -> Outcome {
    let path = place.put("replaced", b"before").await;
    let etag = place.store.get(&path).await.unwrap().meta.e_tag;
    let read = async || {
        let options = GetOptions {
            range: Some(GetRange::Bounded(0..3)),
            if_match: etag.clone(),
            ..GetOptions::default()
        };
        place.store.get_opts(&path, options).await
    };
    assert_eq!(read().await.unwrap().bytes().await.unwrap(), "bef");
    place.put("replaced", b"after all").await;
    let error = read().await.unwrap_err();
    assert!(matches!(error, Error::Precondition { .. }), "{error}");
    Outcome::Holds
}

/// Needed: what is not there is told from what cannot be had.
async fn store_says_what_is_absent(place: Place) -> Outcome {
    let path = place.at("nothing/here");
    let error = place.store.get(&path).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    let error = place.store.head(&path).await.unwrap_err();
    assert!(matches!(error, Error::NotFound { .. }), "{error}");
    Outcome::Holds
}

/// Needed: vacuum deletes in bulk.
async fn store_deletes_thousands(place: Place) -> Outcome {
    let names = many(&place, 1_200).await;
    let kept = place.put("kept", b"x").await;
    let paths: Vec<_> = names
        .iter()
        .map(|name| Ok(Path::from(name.as_str())))
        .collect();
    let deleted = place.store.delete_stream(stream::iter(paths).boxed());
    let deleted: Vec<Path> = deleted.try_collect().await.unwrap();
    assert_eq!(deleted.len(), names.len());
    assert_eq!(place.names().await, [kept.to_string()]);
    Outcome::Holds
}

/// Five and a half MiB twice and a little: S3 takes no parts of less than five but the last.
fn parts() -> [Bytes; 3] {
    let part = |byte: u8, bytes| Bytes::from(vec![byte; bytes]);
    [part(1, 11 << 19), part(2, 11 << 19), part(3, 7)]
}

/// Needed: large files go up in parts, and are there when they are complete.
async fn store_puts_in_parts(place: Place) -> Outcome {
    let path = place.at("large");
    let mut upload = place.store.put_multipart(&path).await.unwrap();
    let going = parts().map(|part| upload.put_part(part.into()));
    try_join_all(going).await.unwrap();
    assert!(
        place.store.head(&path).await.is_err(),
        "it is there before it is complete"
    );
    upload.complete().await.unwrap();
    assert_eq!(place.get(&path).await, parts().concat());
    assert_eq!(place.names().await, [path.to_string()]);
    // Over what is there.
    let mut writer = WriteMultipart::new(place.store.put_multipart(&path).await.unwrap());
    writer.write(b"small");
    writer.finish().await.unwrap();
    assert_eq!(place.get(&path).await, "small");
    Outcome::Holds
}

/// Needed: an upload that was given up leaves nothing that anybody sees.
async fn store_forgets_aborted_parts(place: Place) -> Outcome {
    let path = place.at("given up");
    let mut upload = place.store.put_multipart(&path).await.unwrap();
    upload.put_part(parts()[0].clone().into()).await.unwrap();
    upload.abort().await.unwrap();
    assert!(place.store.head(&path).await.is_err());
    assert_eq!(place.names().await, [""; 0]);
    Outcome::Holds
}

/// Needed: names of partitions have a `=` in them, and values may have anything.
async fn store_keeps_keys_as_they_are(place: Place) -> Outcome {
    let names = [
        "date=2024-03-14/part",
        "bucket=__HIVE_DEFAULT_PARTITION__/part",
        "pool=a b/part",
        "pool=a+b&c/part",
        "pool=50%25/part",
        "pool=é\u{1F980}/part",
        "pool=a:b@c,d;e$f!g'h(i)/part",
    ];
    for name in names {
        place.put(name, b"x").await;
    }
    let mut expected: Vec<String> = names
        .iter()
        .map(|name| place.at(name).to_string())
        .collect();
    expected.sort();
    let mut listed = place.names().await;
    listed.sort();
    assert_eq!(listed, expected);
    for name in names {
        assert_eq!(place.get(&place.at(name)).await, "x", "{name}");
        place.store.delete(&place.at(name)).await.unwrap();
    }
    assert_eq!(place.names().await, [""; 0]);
    Outcome::Holds
}

/// Needed: vacuum goes by the bucket's time, which has to be about that of this machine.
#[allow(
    clippy::disallowed_methods,
    reason = "the bucket's time is the machine's"
)]
async fn store_says_when_it_wrote(place: Place) -> Outcome {
    let before = SystemTime::now();
    let path = place.put("now", b"x").await;
    let after = SystemTime::now();
    let listed: Vec<_> = place
        .store
        .list(Some(&place.folder))
        .try_collect()
        .await
        .unwrap();
    let head = place.store.head(&path).await.unwrap();
    for written in [listed[0].last_modified, head.last_modified] {
        let written = SystemTime::from(written);
        let apart = Duration::from_secs(5);
        assert!(
            (before - apart..=after + apart).contains(&written),
            "{before:?} {written:?} {after:?}"
        );
    }
    Outcome::Holds
}

/// Vacuum takes either answer.
async fn store_deletes_what_is_absent(place: Place) -> Outcome {
    match place.store.delete(&place.at("nothing")).await {
        Ok(()) => Outcome::Holds,
        Err(Error::NotFound { .. }) => Outcome::Differs("says that it is absent".to_owned()),
        Err(error) => panic!("{error}"),
    }
}

/// Not used: `If-Match` with a put.
async fn store_replaces_if_unchanged(place: Place) -> Outcome {
    let path = place.put("counter", b"1").await;
    let version: UpdateVersion = UpdateVersion {
        e_tag: place.store.head(&path).await.unwrap().e_tag,
        version: None,
    };
    let update = async |bytes: &'static str| {
        let mode = PutMode::Update(version.clone());
        place
            .store
            .put_opts(&path, bytes.into(), PutOptions::from(mode))
            .await
    };
    match update("2").await {
        Ok(_) => {}
        Err(Error::NotImplemented { .. }) => return Outcome::Absent,
        Err(error) => return Outcome::Differs(format!("refuses the right ETag: {}", kind(&error))),
    }
    match update("3").await {
        Ok(_) => Outcome::Differs("replaces what has changed".to_owned()),
        Err(Error::Precondition { .. }) => Outcome::Holds,
        Err(error) => Outcome::Differs(format!("answers {}", kind(&error))),
    }
}

/// Not used: `If-None-Match` when an upload in parts is completed.
async fn store_completes_parts_once(place: Place) -> Outcome {
    let (from, to) = (
        place.put("from", b"new").await,
        place.put("to", b"old").await,
    );
    let options = CopyOptions::new().with_mode(CopyMode::Create);
    match place.store.copy_opts(&from, &to, options).await {
        Ok(()) => Outcome::Differs("overwrites what is there".to_owned()),
        Err(Error::AlreadyExists { .. } | Error::Precondition { .. }) => {
            assert_eq!(place.get(&to).await, "old");
            Outcome::Holds
        }
        Err(error) => Outcome::Differs(format!("answers {}", kind(&error))),
    }
}

/// Needed of a store in production, which LocalStack is not.
async fn store_refuses_a_wrong_secret(place: Place) -> Outcome {
    let Some(bucket) = &place.bucket else {
        return Outcome::Absent;
    };
    let path = place.put("secret", b"x").await;
    match client(bucket, "another secret").get(&path).await {
        Err(Error::PermissionDenied { .. } | Error::Unauthenticated { .. }) => Outcome::Holds,
        Err(error) => Outcome::Differs(format!("answers {}", kind(&error))),
        Ok(_) => Outcome::Differs("takes it".to_owned()),
    }
}

/// Used where `compactor.archive_class` is set.
async fn store_takes_a_storage_class(place: Place) -> Outcome {
    let class = Attributes::from_iter([(Attribute::StorageClass, "STANDARD_IA")]);
    let options = PutOptions {
        attributes: class,
        ..PutOptions::default()
    };
    let path = place.at("old");
    match place.store.put_opts(&path, "x".into(), options).await {
        Ok(_) => {
            assert_eq!(place.get(&path).await, "x");
            Outcome::Holds
        }
        Err(Error::NotImplemented { .. }) => Outcome::Absent,
        Err(error) => Outcome::Differs(format!("answers {}", kind(&error))),
    }
}

/// What a store answers, in short: the status and the code of S3, if there are any.
fn kind(error: &Error) -> String {
    let text = error.to_string();
    let code = text
        .split_once("<Code>")
        .and_then(|(_, rest)| rest.split_once("</Code>"))
        .map(|(code, _)| code.to_owned());
    code.unwrap_or(text)
}
