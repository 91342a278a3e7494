//! Whatever stands in the headers of a request, it is verified or refused. Runs for a moment with
//! all tests; longer with `BOLERO_RANDOM_TEST_TIME_MS` and `BOLERO_RANDOM_ITERATIONS`.

use crate::{KeySecret, Message, SignatureInput, SigningKey};
use http::{HeaderMap, HeaderValue};
use streamsync_core::KeyId;
use streamsync_testing::mutated;

const NOW: u64 = 1_700_000_000;
const BODY: &[u8] = br#"{"sql": "SELECT 1"}"#;

#[test]
fn signature_headers() {
    let key = SigningKey {
        id: KeyId::new([1; 16]),
        secret: KeySecret::from_bytes([2; 32]),
    };
    let whole = Message {
        method: "POST",
        authority: "router",
        path: "/v1/query",
        query: None,
        headers: &HeaderMap::new(),
    };
    let signed = key.sign(whole, BODY, NOW, "nonce-0001");
    let names = ["signature-input", "signature", "content-digest"];
    bolero::check!()
        .with_type::<(u8, Vec<u8>)>()
        .for_each(|(which, edits)| {
            let mut headers = signed.clone();
            let name = names[usize::from(*which) % names.len()];
            let changed = mutated(signed[name].as_bytes(), edits);
            let Ok(value) = HeaderValue::from_bytes(&changed) else {
                return;
            };
            headers.insert(name, value);
            let message = Message {
                headers: &headers,
                ..whole
            };
            let secrets = [key.secret.clone()];
            let verified = SignatureInput::parse(&headers)
                .and_then(|input| input.verify(message, BODY, NOW, &secrets));
            if verified.is_ok() {
                // What else may hold is the same said otherwise: spaces, another label, further digests.
                let input = SignatureInput::parse(&headers);
                assert!(
                    input
                        .is_ok_and(|input| input.key() == &key.id && input.nonce() == "nonce-0001")
                );
            }
        });
}
