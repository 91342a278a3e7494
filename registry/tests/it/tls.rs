//! Redis behind TLS, as clouds offer it.

use super::{Redis, Registry, config};
use futures::StreamExt;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use streamsync_core::config::RedisConfig;
use streamsync_registry::News;
use tempfile::TempDir;

/// An authority, and a certificate of it for this machine, as PEM files.
fn certify(folder: &TempDir) {
    let write = |name: &str, text: String| std::fs::write(folder.path().join(name), text).unwrap();
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    write("ca.pem", authority.self_signed(&key).unwrap().pem());
    let issuer = Issuer::new(authority, key);
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let params = CertificateParams::new(names).unwrap();
    write("redis.pem", params.signed_by(&key, &issuer).unwrap().pem());
    write("redis.key", key.serialize_pem());
}

pub async fn spoken() {
    let folder = TempDir::new().unwrap();
    certify(&folder);
    let file = |name: &str| folder.path().join(name);
    let redis = Redis::start_tls(&file("redis.pem"), &file("redis.key")).await;
    let secure = RedisConfig {
        url: format!("rediss://127.0.0.1:{}", redis.port())
            .parse()
            .unwrap(),
        ca: Some(file("ca.pem")),
        ..config(&redis)
    };
    let registry = Registry::connect(&secure).await.unwrap();
    registry.ping().await.unwrap();
    let mut news = registry.news().await.unwrap();
    registry.tell_of_lake().await.unwrap();
    assert_eq!(news.next().await, Some(News::Lake));

    // The system does not know the authority; and what is no file is named.
    let stranger = RedisConfig {
        ca: None,
        ..secure.clone()
    };
    assert!(Registry::connect(&stranger).await.is_err());
    let absent = RedisConfig {
        ca: Some(file("absent.pem")),
        ..secure
    };
    let error = Registry::connect(&absent).await.err().unwrap();
    let error = streamsync_core::with_causes(&error);
    assert!(error.contains("absent.pem"), "{error}");
}
