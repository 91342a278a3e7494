//! Requests that nobody should get anything with. `docs/API.md` lists them.

use crate::{
    attack::{Attack, QUERY, documented},
    network::{Network, actor, now_s},
    signed::{Request, nonce, receive, send},
};
use std::collections::BTreeMap;
use streamsync_access::{KeySecret, SigningKey, content_digest};
use streamsync_core::{KeyId, Limits, Scope};
use streamsync_testing::eventually;
use tokio::{io::AsyncWriteExt, net::TcpStream};

pub async fn requests() {
    let mut network = Network::secured().await;
    let log = network.folder().join("router.log").display().to_string();
    (0..3).for_each(|_| network.start_worker(&["--log-to", &log]));
    let config = network.folder().join("router.toml");
    std::fs::write(&config, "[router]\nrequest_ms = 1000\n").unwrap();
    for _ in 0..2 {
        network.start_router(&["--log-to", &log]).await;
    }
    // One that does not wait long for a request.
    let impatient = ["--log-to", &log, "--config", config.to_str().unwrap()];
    network.start_router(&impatient).await;
    let routers: Vec<String> = network
        .routers
        .iter()
        .map(|router| router.url.trim_start_matches("http://").to_owned())
        .collect();
    let none = Limits::default();
    let good = network.key("acme", &[Scope::Query], none).await;
    let poor = network.key("poor", &[Scope::Query], none).await;
    let admin = network.key("ops", &[Scope::Admin], none).await;
    let operator = network.key("ops", &[Scope::Operate], none).await;
    let one = Limits {
        requests_per_minute: Some(4),
        ..none
    };
    let limited = network.key("acme", &[Scope::Query], one).await;
    let revoked = network.key("acme", &[Scope::Query], none).await;
    let rotated = network.key("acme", &[Scope::Query], none).await;
    network.add_credit("acme", 1_000_000_000, "one").await;
    let administration = network.administration().await;

    // All of them are good before they are not.
    let mut attack = Attack {
        router: &routers[0],
        other_router: &routers[1],
        good: &good,
        said: String::new(),
        results: BTreeMap::new(),
    };
    for key in [&good, &revoked, &rotated] {
        let answer = send(
            &routers[0],
            &Request::signed(key, &routers[0], "POST", "/v1/query", QUERY).bytes(),
        )
        .await;
        assert_eq!(answer.status, 200, "{answer:?}");
        attack.said.push_str(&answer.text);
    }
    administration
        .revoke_key(&revoked.id, &actor())
        .await
        .unwrap();
    let issued = administration
        .rotate_key(&rotated.id, 0, &actor())
        .await
        .unwrap();
    let mut secrets: Vec<String> = [
        &good, &poor, &admin, &operator, &limited, &revoked, &rotated,
    ]
    .iter()
    .map(|key| key.secret.expose())
    .collect();
    secrets.push(issued.secret.expose());
    for router in &routers {
        eventually(crate::cluster::PATIENCE, async || {
            let revoked = Request::signed(&revoked, router, "POST", "/v1/query", QUERY);
            let rotated = Request::signed(&rotated, router, "POST", "/v1/query", QUERY);
            send(router, &revoked.bytes()).await.status == 401
                && send(router, &rotated.bytes()).await.status == 401
        })
        .await;
    }

    let request = attack.request();
    attack
        .send(
            "no signature",
            request
                .clone()
                .without("signature")
                .without("signature-input"),
        )
        .await;
    attack
        .send(
            "`signature-input` missing",
            request.clone().without("signature-input"),
        )
        .await;
    attack
        .send("`signature` missing", request.clone().without("signature"))
        .await;
    attack
        .send(
            "`signature-input` is no dictionary",
            request.clone().set("signature-input", ";;;"),
        )
        .await;
    attack
        .send(
            "`signature` is no dictionary",
            request.clone().set("signature", "(("),
        )
        .await;
    attack
        .send(
            "`signature` is text",
            request.clone().set("signature", "sig=\"x\""),
        )
        .await;
    attack
        .send(
            "signature of zeros",
            request.clone().set(
                "signature",
                "sig=:AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=:",
            ),
        )
        .await;
    attack
        .send(
            "empty signature",
            request.clone().set("signature", "sig=::"),
        )
        .await;
    let altered = br#"{"sql": "SELECT 41 + 2 AS n"}"#;
    attack
        .send("altered body", request.clone().body(altered))
        .await;
    attack
        .send(
            "altered body with its own digest",
            request
                .clone()
                .body(altered)
                .set("content-digest", &content_digest(altered)),
        )
        .await;
    attack
        .send("digest missing", request.clone().without("content-digest"))
        .await;
    attack
        .send(
            "digest by MD5 only",
            request.clone().set("content-digest", "md5=:AAAA:"),
        )
        .await;
    attack
        .send(
            "two digests",
            request.clone().add("content-digest", &content_digest(b"")),
        )
        .await;
    attack
        .send(
            "components reordered",
            request.clone().edit("signature-input", |input| {
                input.replace("\"@method\" \"@authority\"", "\"@authority\" \"@method\"")
            }),
        )
        .await;
    for component in ["@method", "@authority", "@path", "content-digest"] {
        let cut = format!("\"{component}\"");
        attack
            .input(&format!("`{component}` not covered"), |input| {
                input
                    .replace(&cut, "")
                    .replace("( ", "(")
                    .replace("  ", " ")
                    .replace(" )", ")")
            })
            .await;
    }
    attack
        .send(
            "query string not covered",
            Request {
                path: "/v1/query?a=b".to_owned(),
                ..request.clone()
            },
        )
        .await;
    attack
        .input("component covered twice", |input| {
            input.replace("\"@path\"", "\"@path\" \"@path\"")
        })
        .await;
    attack
        .input("component with a parameter", |input| {
            input.replace("\"@path\"", "\"@path\";req")
        })
        .await;
    attack
        .input("unknown derived component", |input| {
            input.replace("\"@path\"", "\"@path\" \"@status\"")
        })
        .await;
    attack
        .input("covered header missing", |input| {
            input.replace("\"@path\"", "\"@path\" \"accept\"")
        })
        .await;
    attack
        .input("other algorithm", |input| {
            input.replace("hmac-sha256", "rsa-v1_5-sha256")
        })
        .await;
    attack
        .input("`created` missing", |input| {
            input.replace(";created=", ";x=")
        })
        .await;
    attack
        .input("`created` is text", |input| {
            input.replace(";created=", ";created=\"a\";y=")
        })
        .await;
    attack
        .input("`nonce` missing", |input| input.replace(";nonce=", ";z="))
        .await;
    attack
        .input("`nonce` too short", |input| {
            input.replace(";nonce=\"", ";nonce=\"a\";z=\"")
        })
        .await;
    let long = "n".repeat(65);
    attack
        .input("`nonce` too long", |input| {
            input.replace(";nonce=\"", &format!(";nonce=\"{long}\";z=\""))
        })
        .await;
    attack
        .input("key id is none", |input| {
            input.replace("keyid=\"key_", "keyid=\"../../")
        })
        .await;
    attack
        .input("two signatures", |input| {
            format!("{input}, b={}", &input[4..])
        })
        .await;
    attack
        .send(
            "`signature-input` twice",
            request
                .clone()
                .add("signature-input", request.header("signature-input")),
        )
        .await;
    attack
        .send(
            "labels differ",
            request
                .clone()
                .edit("signature", |value| format!("x{value}")),
        )
        .await;
    attack
        .input("hundred components", |input| {
            input.replace(
                "\"@path\"",
                &format!(
                    "\"@path\"{}",
                    (0..100).map(|n| format!(" \"x-{n}\"")).collect::<String>()
                ),
            )
        })
        .await;
    let at = |at| Request::signed_at(&good, &routers[0], "POST", "/v1/query", QUERY, at, &nonce());
    attack.send("signed a minute ago", at(now_s() - 60)).await;
    attack.send("signed a minute ahead", at(now_s() + 60)).await;
    attack.send("signed in 1970", at(0)).await;

    let used = nonce();
    let first = Request::signed_at(
        &good,
        &routers[0],
        "POST",
        "/v1/query",
        QUERY,
        now_s(),
        &used,
    );
    assert_eq!(send(&routers[0], &first.bytes()).await.status, 200);
    attack.send("sent again", first).await;
    attack
        .replay("sent again to another router", &operator)
        .await;
    let another = Request::signed_at(
        &good,
        &routers[0],
        "POST",
        "/v1/query",
        br#"{"sql": "SELECT 5"}"#,
        now_s(),
        &used,
    );
    attack
        .send("another request with a used nonce", another)
        .await;

    let signed = |key: &SigningKey, method: &str, target: &str, body: &[u8]| {
        Request::signed(key, &routers[0], method, target, body)
    };
    let stranger = SigningKey {
        id: KeyId::new([9; 16]),
        secret: KeySecret::from_bytes([1; 32]),
    };
    attack
        .send("unknown key", signed(&stranger, "POST", "/v1/query", QUERY))
        .await;
    let guessed = SigningKey {
        id: good.id.clone(),
        secret: KeySecret::from_bytes([1; 32]),
    };
    attack
        .send("wrong secret", signed(&guessed, "POST", "/v1/query", QUERY))
        .await;
    attack
        .send("revoked key", signed(&revoked, "POST", "/v1/query", QUERY))
        .await;
    attack
        .send(
            "secret replaced by rotation",
            signed(&rotated, "POST", "/v1/query", QUERY),
        )
        .await;
    let new_key = br#"{"client": "acme", "scopes": ["admin"]}"#;
    attack
        .send(
            "client makes a key",
            signed(&good, "POST", "/v1/keys", new_key),
        )
        .await;
    attack
        .send(
            "client adds credit to itself",
            signed(
                &good,
                "POST",
                "/v1/credit/acme",
                br#"{"amount": 5, "deposit": "x"}"#,
            ),
        )
        .await;
    attack
        .send(
            "client reads the credit of others",
            signed(&good, "GET", "/v1/credit/poor", b""),
        )
        .await;
    attack
        .send(
            "client reads the receipts of others",
            signed(&good, "GET", "/v1/receipts/all", b""),
        )
        .await;
    attack
        .send(
            "client reads metrics",
            signed(&good, "GET", "/metrics", b""),
        )
        .await;
    attack
        .send(
            "administrator asks a query",
            signed(&admin, "POST", "/v1/query", QUERY),
        )
        .await;
    attack
        .send(
            "client reads the administrative log by SQL",
            signed(
                &good,
                "POST",
                "/v1/query",
                br#"{"sql": "SELECT * FROM admin_log"}"#,
            ),
        )
        .await;
    attack
        .send(
            "signed for another host",
            Request::signed(&good, "elsewhere:1", "POST", "/v1/query", QUERY)
                .set("host", &routers[0]),
        )
        .await;
    attack
        .send(
            "signed for another path",
            Request {
                path: "/v1/quote".to_owned(),
                ..request.clone()
            },
        )
        .await;
    attack
        .send(
            "signed for another method",
            Request {
                method: "PUT".to_owned(),
                path: "/v1/keys/x/limits".to_owned(),
                ..request.clone()
            },
        )
        .await;

    attack
        .send("two hosts", request.clone().add("host", "elsewhere"))
        .await;
    attack
        .send(
            "head of 100 KiB",
            request.clone().add("x-long", &"a".repeat(100 << 10)),
        )
        .await;
    let many = (0..500).fold(request.clone(), |request, number| {
        request.add(&format!("x-{number}"), "a")
    });
    attack.send("five hundred headers", many).await;
    attack
        .send(
            "body of 2 MiB",
            signed(&good, "POST", "/v1/query", &vec![b' '; 2 << 20]),
        )
        .await;
    attack
        .send(
            "compressed body",
            signed(&good, "POST", "/v1/query", QUERY).add("content-encoding", "gzip"),
        )
        .await;
    attack
        .send("two lengths", request.clone().add("content-length", "5"))
        .await;
    attack
        .send(
            "length is no number",
            request.clone().set("content-length", "+5"),
        )
        .await;
    attack
        .send(
            "header with a line feed",
            request.clone().add("x-a", "b\n\tc: d\0"),
        )
        .await;
    attack
        .send("header name with a space", request.clone().add("x a", "b"))
        .await;
    attack
        .bytes(
            "no HTTP",
            b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
        )
        .await;
    for (name, path) in [
        ("path with `..`", "/v1/../v1/query"),
        ("path with `//`", "//v1/query"),
        ("path with a trailing slash", "/v1/query/"),
        ("path with escapes", "/v1/%71uery"),
        ("path with a null byte", "/v1/query%00"),
    ] {
        attack.send(name, signed(&good, "POST", path, QUERY)).await;
    }
    attack
        .send(
            "another method",
            signed(&good, "DELETE", "/v1/query", QUERY),
        )
        .await;
    attack
        .send("unknown method", signed(&good, "BREW", "/v1/query", QUERY))
        .await;
    for (name, body) in [
        ("body is no JSON", &b"sql"[..]),
        ("body nested deeply", "[".repeat(100_000).as_bytes()),
        (
            "unknown field in the body",
            br#"{"sql": "SELECT 1", "admin": true}"#,
        ),
        ("body is not UTF-8", b"{\"sql\": \"\xff\xfe\"}"),
        (
            "number out of range in the body",
            br#"{"sql": "SELECT 1", "max_price": -1}"#,
        ),
    ] {
        let request = signed(&good, "POST", "/v1/query", body);
        attack.send(name, request).await;
    }
    attack
        .send(
            "price over `max_price`",
            signed(
                &good,
                "POST",
                "/v1/query",
                br#"{"sql": "SELECT 1", "max_price": 1}"#,
            ),
        )
        .await;
    attack
        .send("no credit", signed(&poor, "POST", "/v1/query", QUERY))
        .await;
    let mut sent = 0;
    let answer = loop {
        let request = signed(&limited, "POST", "/v1/query", QUERY);
        let answer = send(&routers[0], &request.bytes()).await;
        sent += 1;
        // A minute may begin in between, which allows four more.
        if answer.status == 429 || sent > 10 {
            break answer;
        }
    };
    assert!(answer.header("retry-after").is_some(), "{answer:?}");
    attack.note("too many requests", &answer);

    // Those that never end.
    let mut slow = TcpStream::connect(&routers[2]).await.unwrap();
    slow.write_all(b"POST /v1/query HTTP/1.1\r\nhost: x\r\nx-a: ")
        .await
        .unwrap();
    attack.note("head that never ends", &receive(slow).await);
    let mut slow = TcpStream::connect(&routers[2]).await.unwrap();
    let endless = Request::signed(&good, &routers[2], "POST", "/v1/query", QUERY);
    slow.write_all(&endless.set("content-length", "1000").bytes())
        .await
        .unwrap();
    attack.note("body that never ends", &receive(slow).await);

    let documented = documented();
    for (name, result) in &attack.results {
        println!("| {name} | {} | `{}` |", result.0, result.1);
    }
    assert_eq!(attack.results, documented);
    assert!(attack.results.len() >= 40);

    // After all of it an honest client is answered, and no secret was said anywhere.
    assert_eq!(
        send(&routers[0], &attack.request().bytes()).await.status,
        200
    );
    secrets.push(
        std::fs::read_to_string(network.master())
            .unwrap()
            .lines()
            .nth(1)
            .unwrap()
            .to_owned(),
    );
    let logged = std::fs::read_to_string(&log).unwrap();
    assert!(
        logged.contains("a request is refused"),
        "the log was not read"
    );
    for secret in &secrets {
        assert!(!attack.said.contains(secret), "a secret was sent");
        assert!(!logged.contains(secret), "a secret was logged");
    }
    // Neither is any in Redis.
    let kept = format!("{:?}", network.registry().await.api_keys().await.unwrap());
    assert!(secrets.iter().all(|secret| !kept.contains(secret)));
}
