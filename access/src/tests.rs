//! Signatures that hold, and those that do not.

use super::*;
use crate::SigningKey;
use proptest::prelude::*;

const NOW: u64 = 1_700_000_000;
const BODY: &[u8] = br#"{"sql": "SELECT 1"}"#;

fn key() -> SigningKey {
    SigningKey {
        id: KeyId::new([1; 16]),
        secret: KeySecret::from_bytes([2; 32]),
    }
}

fn message(headers: &HeaderMap) -> Message<'_> {
    Message {
        method: "POST",
        authority: "router.example:8080",
        path: "/v1/query",
        query: Some("a=b"),
        headers,
    }
}

fn signed() -> HeaderMap {
    key().sign(message(&HeaderMap::new()), BODY, NOW, "nonce-0001")
}

fn verify(headers: &HeaderMap) -> Result<(), SignatureError> {
    verify_as(message(headers), BODY, NOW)
}

fn verify_as(message: Message<'_>, body: &[u8], now: u64) -> Result<(), SignatureError> {
    SignatureInput::parse(message.headers)?.verify(message, body, now, &[key().secret])
}

#[test]
fn what_was_signed_holds() {
    let headers = signed();
    verify(&headers).unwrap();
    let capitals = Message {
        authority: "ROUTER.example:8080",
        ..message(&headers)
    };
    verify_as(capitals, BODY, NOW).unwrap();
    verify_as(message(&headers), BODY, NOW + WINDOW_S).unwrap();
    verify_as(message(&headers), BODY, NOW - WINDOW_S).unwrap();
}

#[test]
fn nothing_can_be_changed() {
    let headers = signed();
    let whole = message(&headers);
    for changed in [
        Message {
            method: "GET",
            ..whole
        },
        Message {
            authority: "router.example:8081",
            ..whole
        },
        Message {
            path: "/v1/keys",
            ..whole
        },
        Message {
            query: Some("a=c"),
            ..whole
        },
        Message {
            query: None,
            ..whole
        },
    ] {
        assert_eq!(
            verify_as(changed, BODY, NOW),
            Err(SignatureError::Mismatch),
            "{changed:?}"
        );
    }
    assert_eq!(verify_as(whole, b"{}", NOW), Err(SignatureError::OtherBody));
    let other = SignatureInput::parse(&headers).unwrap();
    let wrong = [KeySecret::from_bytes([3; 32])];
    assert_eq!(
        other.verify(whole, BODY, NOW, &wrong),
        Err(SignatureError::Mismatch)
    );
    assert_eq!(
        other.verify(whole, BODY, NOW, &[]),
        Err(SignatureError::Mismatch)
    );
    let both = [KeySecret::from_bytes([3; 32]), key().secret];
    other.verify(whole, BODY, NOW, &both).unwrap();
}

#[test]
fn it_holds_for_a_while_only() {
    let headers = signed();
    let late = verify_as(message(&headers), BODY, NOW + WINDOW_S + 1);
    assert_eq!(late, Err(SignatureError::TooOld { age_s: 31 }));
    let early = verify_as(message(&headers), BODY, NOW - WINDOW_S - 1);
    assert_eq!(early, Err(SignatureError::Future { ahead_s: 31 }));
}

/// Headers with another input; its signature is one that the key made of exactly that.
fn input(parameters: &str) -> HeaderMap {
    let mut headers = signed();
    headers.insert(INPUT, format!("sig={parameters}").parse().unwrap());
    headers
}

#[test]
fn what_is_not_understood_is_refused_by_name() {
    let all = r#""@method" "@authority" "@path" "@query" "content-digest""#;
    let keyid = "key_01010101010101010101010101010101";
    let tail = format!(r#";created={NOW};keyid="{keyid}";nonce="nonce-0001""#);
    for (parameters, expected) in [
        (
            format!("({all});created=1"),
            SignatureError::Parameter("keyid"),
        ),
        (
            format!(r#"({all});created={NOW};keyid="k";nonce="nonce-0001""#),
            SignatureError::Parameter("keyid"),
        ),
        (
            format!(r#"({all});created={NOW};keyid="{keyid}";nonce="short""#),
            SignatureError::Parameter("nonce"),
        ),
        (
            format!(r#"({all});created="x";keyid="{keyid}";nonce="nonce-0001""#),
            SignatureError::Parameter("created"),
        ),
        (
            format!(r#"({all});created=-1;keyid="{keyid}";nonce="nonce-0001""#),
            SignatureError::Parameter("created"),
        ),
        (
            format!(r#"({all}){tail};alg="rsa-v1_5-sha256""#),
            SignatureError::Algorithm,
        ),
        (
            format!("({all}){tail};expires=no"),
            SignatureError::Parameter("expires"),
        ),
        (
            format!(r#"({all} "@path"){tail}"#),
            SignatureError::CoveredTwice("@path".to_owned()),
        ),
        (
            format!(r#"({all} "x";sf){tail}"#),
            SignatureError::Unsupported("x".to_owned()),
        ),
        (
            format!(r#"({all} "@status"){tail}"#),
            SignatureError::Unsupported("@status".to_owned()),
        ),
        (
            format!(r#"({all} "Host"){tail}"#),
            SignatureError::Unsupported("Host".to_owned()),
        ),
        (
            format!(r#"({all} "accept"){tail}"#),
            SignatureError::Absent("accept".to_owned()),
        ),
        (
            format!(r#"("@authority" "@path" "@query" "content-digest"){tail}"#),
            SignatureError::NotCovered("@method"),
        ),
        (
            format!(r#"("@method" "@authority" "@path" "content-digest"){tail}"#),
            SignatureError::NotCovered("@query"),
        ),
        (
            format!(r#"("@method" "@authority" "@path" "@query"){tail}"#),
            SignatureError::NotCovered("content-digest"),
        ),
        (
            format!(r#"({all}){tail};expires={}"#, NOW - 1),
            SignatureError::TooOld { age_s: 0 },
        ),
        (
            format!(r#"("@path" "@method" "@authority" "@query" "content-digest"){tail}"#),
            SignatureError::Mismatch,
        ),
        ("1".to_owned(), SignatureError::Malformed(INPUT)),
        ("(1)".to_owned() + &tail, SignatureError::Malformed(INPUT)),
    ] {
        assert_eq!(verify(&input(&parameters)), Err(expected), "{parameters}");
    }
}

#[test]
fn headers_that_could_be_read_in_two_ways_are_refused() {
    let mut twice = signed();
    twice.append(INPUT, twice[INPUT].clone());
    assert_eq!(verify(&twice), Err(SignatureError::Repeated(INPUT)));
    let mut two = signed();
    let value = format!("{0}, b{0}", two[SIGNATURE].to_str().unwrap());
    two.insert(SIGNATURE, value.parse().unwrap());
    assert_eq!(verify(&two), Err(SignatureError::Repeated(SIGNATURE)));
    let mut other = signed();
    let value = format!("b{}", other[SIGNATURE].to_str().unwrap());
    other.insert(SIGNATURE, value.parse().unwrap());
    assert_eq!(verify(&other), Err(SignatureError::OtherLabel));
    for name in [INPUT, SIGNATURE] {
        let mut without = signed();
        without.remove(name);
        assert_eq!(verify(&without), Err(SignatureError::Missing(name)));
    }
}

/// The base of appendix B.2.5 of RFC 9421 (`hmac-sha256`). Its key is not one of ours and covers
/// less than we ask for, so what is compared is the base, and the signature of it.
#[test]
fn vector_of_the_rfc() {
    use base64::{Engine, engine::general_purpose::STANDARD};
    let mut headers = HeaderMap::new();
    headers.insert("date", "Tue, 20 Apr 2021 02:07:55 GMT".parse().unwrap());
    headers.insert("content-type", "application/json".parse().unwrap());
    let message = Message {
        method: "POST",
        authority: "example.com",
        path: "/foo",
        query: Some("param=Value&Pet=dog"),
        headers: &headers,
    };
    let mut base = String::new();
    for component in ["date", "@authority", "content-type"] {
        message.line(component, &mut base).unwrap();
    }
    base.push_str(r#""@signature-params": ("date" "@authority" "content-type");created=1618884473;keyid="test-shared-secret""#);
    let key = STANDARD
        .decode("uzvJfB4u3N0Jy4T7NZ75MDVcr8zSTInedJtkgcu46YW4XByzNJjxBdtjUkdJPBtbmHhIDi6pcl8jsasjlTMtDQ==")
        .unwrap();
    let signature = STANDARD
        .decode("pxcQw6G3AjtMBQjwo8XzkZf/bws5LelbaMk5rGIGtE8=")
        .unwrap();
    assert!(hmac::Mac::verify_slice(crate::secret::mac(&key, base.as_bytes()), &signature).is_ok());
}

/// The derived components as in section 2.2 of RFC 9421.
#[test]
fn components_of_the_rfc() {
    let headers = HeaderMap::new();
    let message = Message {
        method: "GET",
        authority: "WWW.EXAMPLE.COM:443",
        path: "/path",
        query: Some("param=value&foo=bar&baz=bat%2Dman"),
        headers: &headers,
    };
    let line = |message: Message<'_>, component| {
        let mut base = String::new();
        message.line(component, &mut base).map(|()| base)
    };
    for (component, expected) in [
        ("@method", "\"@method\": GET\n"),
        ("@authority", "\"@authority\": www.example.com\n"),
        ("@path", "\"@path\": /path\n"),
        ("@query", "\"@query\": ?param=value&foo=bar&baz=bat%2Dman\n"),
    ] {
        assert_eq!(line(message, component).unwrap(), expected);
    }
    let bare = Message {
        path: "",
        query: None,
        ..message
    };
    assert_eq!(line(bare, "@path").unwrap(), "\"@path\": /\n");
    assert_eq!(line(bare, "@query").unwrap(), "\"@query\": ?\n");
}

proptest! {
    #[test]
    fn whatever_stands_in_the_headers_is_answered(input in ".{0,200}", signature in ".{0,100}") {
        let mut headers = signed();
        if let (Ok(input), Ok(signature)) = (input.parse(), signature.parse()) {
            headers.insert(INPUT, input);
            headers.insert(SIGNATURE, signature);
            prop_assert!(verify(&headers).is_err());
        }
    }
}
