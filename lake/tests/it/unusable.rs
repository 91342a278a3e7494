//! Buckets that cannot be used: what the lake says of each.

use std::time::Duration;
use streamsync_core::config::BucketConfig;
use streamsync_lake::{CheckLakeError, Lake, OpenTableError};
use streamsync_testing::Suite;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpSocket},
    time::timeout,
};

/// The longest that a client may take to say that nobody answers.
const PATIENCE: Duration = Duration::from_secs(12);

pub fn add(suite: &mut Suite) {
    suite.test("unusable::nobody_answers", nobody_answers);
    suite.test("unusable::nobody_accepts", nobody_accepts);
    suite.test("unusable::keys_are_refused", keys_are_refused);
    suite.test("unusable::there_is_no_such_folder", no_such_folder);
    suite.needs_s3("unusable::there_is_no_such_bucket", no_such_bucket);
}

fn bucket_at(endpoint: String) -> BucketConfig {
    BucketConfig {
        url: "s3://chain/lake".to_owned(),
        endpoint: Some(endpoint),
        access_key_id: Some("someone".to_owned()),
        secret_access_key: Some("a-secret-nobody-sees".to_owned().into()),
        ..BucketConfig::default()
    }
}

async fn checked(bucket: &BucketConfig) -> CheckLakeError {
    let lake = Lake::open(bucket).unwrap();
    let error = timeout(PATIENCE, lake.check()).await.unwrap().unwrap_err();
    let all = format!("{error:?} {error}");
    assert!(!all.contains("a-secret-nobody-sees"), "{all}");
    error
}

/// No process listens on the port.
async fn nobody_answers() {
    // Taken, so that nobody else begins to listen there.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let endpoint = format!("http://{}", socket.local_addr().unwrap());
    let bucket = bucket_at(endpoint);
    let error = checked(&bucket).await;
    assert!(
        matches!(error, CheckLakeError::Unreachable { .. }),
        "{error:?}"
    );
    let lake = Lake::open(&bucket).unwrap();
    let table = streamsync_core::TableName::new("blocks").unwrap();
    let opened = timeout(PATIENCE * 2, lake.table(&table)).await.unwrap();
    assert!(
        matches!(opened, Err(OpenTableError::Log { .. })),
        "{opened:?}"
    );
    let created = timeout(PATIENCE * 2, lake.create_tables()).await.unwrap();
    created.unwrap_err();
}

/// The connection is closed before it is answered.
async fn nobody_accepts() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            drop(listener.accept().await);
        }
    });
    let error = checked(&bucket_at(endpoint)).await;
    assert!(
        matches!(error, CheckLakeError::Unreachable { .. }),
        "{error:?}"
    );
}

/// A stand-in for an S3 server that checks signatures: it answers every request with the refusal
/// that S3 sends for a wrong secret, and does nothing else.
async fn keys_are_refused() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            tokio::spawn(async move {
                let mut request = vec![0; 16 * 1024];
                let _ = client.read(&mut request).await;
                let body = "<?xml version=\"1.0\"?><Error><Code>SignatureDoesNotMatch</Code>\
                            <Message>The signature does not match.</Message></Error>";
                let answer = format!(
                    "HTTP/1.1 403 Forbidden\r\ncontent-type: application/xml\r\n\
                     content-length: {}\r\nconnection: close\r\n\r\n{body}",
                    body.len()
                );
                let _ = client.write_all(answer.as_bytes()).await;
            });
        }
    });
    let error = checked(&bucket_at(endpoint)).await;
    assert!(matches!(error, CheckLakeError::Refused { .. }), "{error:?}");
    assert!(error.to_string().contains("refused the keys"), "{error}");
}

async fn no_such_folder() {
    let folder = tempfile::tempdir().unwrap();
    let bucket = BucketConfig {
        url: folder.path().join("not-there").to_str().unwrap().to_owned(),
        ..BucketConfig::default()
    };
    let error = checked(&bucket).await;
    assert!(
        matches!(error, CheckLakeError::NoSuchBucket { .. }),
        "{error:?}"
    );
    let lake = Lake::open(&bucket).unwrap();
    lake.create_tables().await.unwrap();
    lake.check().await.unwrap();
}

async fn no_such_bucket(bucket: BucketConfig) {
    let bucket = BucketConfig {
        url: "s3://streamsync-no-such-bucket/lake".to_owned(),
        ..bucket
    };
    let error = checked(&bucket).await;
    assert!(
        matches!(error, CheckLakeError::NoSuchBucket { .. }),
        "{error:?}"
    );
}
