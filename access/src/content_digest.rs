//! The digest of a body, in the header `Content-Digest` of RFC 9530.

use crate::SignatureError;
use http::HeaderMap;
use sfv::{BareItem, Dictionary, ListEntry, Parser};
use sha2::{Digest, Sha256, Sha512};

pub(crate) const HEADER: &str = "content-digest";

/// The value of the header for a body: `sha-256=:…:`.
pub fn content_digest(body: &[u8]) -> String {
    use base64::{Engine, engine::general_purpose::STANDARD};
    format!("sha-256=:{}:", STANDARD.encode(Sha256::digest(body)))
}

/// Checks the header against a body. There has to be at least one digest by SHA-256 or SHA-512, and
/// all that are by one of them have to be right; others are not looked at.
pub(crate) fn verify(headers: &HeaderMap, body: &[u8]) -> Result<(), SignatureError> {
    let mut values = headers.get_all(HEADER).iter();
    let Some(value) = values.next() else {
        return Err(SignatureError::NoDigest);
    };
    if values.next().is_some() {
        return Err(SignatureError::Repeated(HEADER));
    }
    let malformed = |_| SignatureError::Malformed(HEADER);
    let digests: Dictionary = Parser::new(value.as_bytes()).parse().map_err(malformed)?;
    let mut checked = false;
    for (algorithm, digest) in &digests {
        let expected = match algorithm.as_str() {
            "sha-256" => Sha256::digest(body).to_vec(),
            "sha-512" => Sha512::digest(body).to_vec(),
            _ => continue,
        };
        match digest {
            ListEntry::Item(item) if matches!(&item.bare_item, BareItem::ByteSequence(bytes) if *bytes == expected) =>
            {
                checked = true;
            }
            _ => return Err(SignatureError::OtherBody),
        }
    }
    if checked {
        Ok(())
    } else {
        Err(SignatureError::NoDigest)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn check(values: &[&str], body: &[u8]) -> Result<(), SignatureError> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(HEADER, value.parse().unwrap());
        }
        verify(&headers, body)
    }

    /// The digests of appendix D of RFC 9530 for `{"hello": "world"}` and a line feed.
    #[test]
    fn vectors_of_the_rfc() {
        let body = b"{\"hello\": \"world\"}\n";
        let short = "sha-256=:RK/0qy18MlBSVnWgjwz6lZEWjP/lF5HF9bvEF8FabDg=:";
        let long = "sha-512=:YMAam51Jz/jOATT6/zvHrLVgOYTGFy1d6GJiOHTohq4yP+pgk4vf2aCsyRZOtw8MjkM7iw7yZ/WkppmM44T3qg==:";
        assert_eq!(content_digest(body), short);
        check(&[short], body).unwrap();
        check(&[long], body).unwrap();
        check(&[&format!("{short}, {long}")], body).unwrap();
        assert!(matches!(
            check(&[short], b"{}"),
            Err(SignatureError::OtherBody)
        ));
        let half = format!("{short}, sha-512=:AAAA:");
        assert!(matches!(
            check(&[&half], body),
            Err(SignatureError::OtherBody)
        ));
    }

    #[test]
    fn what_is_no_digest_is_refused() {
        assert!(matches!(check(&[], b""), Err(SignatureError::NoDigest)));
        assert!(matches!(
            check(&["md5=:AAAA:"], b""),
            Err(SignatureError::NoDigest)
        ));
        assert!(matches!(
            check(&["sha-256=1"], b""),
            Err(SignatureError::OtherBody)
        ));
        assert!(matches!(
            check(&["=="], b""),
            Err(SignatureError::Malformed(_))
        ));
        let twice = content_digest(b"");
        assert!(matches!(
            check(&[&twice, &twice], b""),
            Err(SignatureError::Repeated(_))
        ));
    }
}
