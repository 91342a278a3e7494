//! Tests of the test harness, by itself.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{process::ExitCode, time::Duration};
use streamsync_testing::{Redis, Suite, eventually};

fn main() -> ExitCode {
    let mut suite = Suite::new();
    suite.test("redis starts empty and answers", redis_answers);
    suite.test("redis servers do not meet", redis_servers_do_not_meet);
    suite.test("redis is gone when dropped", redis_is_gone_when_dropped);
    suite.test("redis comes back empty on its port", redis_comes_back_empty);
    suite.needs_fixtures("fixtures are the recorded data", |fixtures| async move {
        assert!(fixtures.join("blocks").is_dir());
    });
    suite.needs_s3("s3 places are told apart", |bucket| async move {
        assert!(bucket.url.starts_with("s3://streamsync-test/s3-places-"));
        assert!(bucket.endpoint.is_some());
    });
    suite.needs_python("python has deltalake", |python| async move {
        let import = tokio::process::Command::new(python)
            .args(["-c", "import deltalake"])
            .status()
            .await
            .expect("run python");
        assert!(import.success());
    });
    suite.run()
}

async fn redis_answers() {
    let redis = Redis::start().await;
    let mut connection = redis.connection().await.expect("connect");
    let keys: u64 = redis::cmd("DBSIZE")
        .query_async(&mut connection)
        .await
        .expect("ask for the number of keys");
    assert_eq!(keys, 0);
}

async fn redis_servers_do_not_meet() {
    let (first, second) = tokio::join!(Redis::start(), Redis::start());
    assert_ne!(first.url(), second.url());
    let mut writer = first.connection().await.expect("connect");
    let mut reader = second.connection().await.expect("connect");
    let () = redis::cmd("SET")
        .arg(&["slot", "1"])
        .query_async(&mut writer)
        .await
        .expect("write");
    let found: Option<String> = redis::cmd("GET")
        .arg("slot")
        .query_async(&mut reader)
        .await
        .expect("read");
    assert_eq!(found, None);
}

async fn redis_is_gone_when_dropped() {
    let redis = Redis::start().await;
    let port = redis.port();
    drop(redis);
    eventually(Duration::from_secs(10), || async {
        tokio::net::TcpStream::connect(("127.0.0.1", port))
            .await
            .is_err()
    })
    .await;
}

async fn redis_comes_back_empty() {
    let mut redis = Redis::start().await;
    let url = redis.url();
    let mut connection = redis.connection().await.expect("connect");
    let () = redis::cmd("SET")
        .arg(&["slot", "1"])
        .query_async(&mut connection)
        .await
        .expect("write");
    redis.kill().await;
    assert!(redis.connection().await.is_err(), "a killed server answers");
    redis.restart().await;
    assert_eq!(redis.url(), url);
    let mut connection = redis.connection().await.expect("connect again");
    let found: Option<String> = redis::cmd("GET")
        .arg("slot")
        .query_async(&mut connection)
        .await
        .expect("read");
    assert_eq!(found, None);
}
