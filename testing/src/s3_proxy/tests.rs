use super::*;
use bytes::Bytes;
use http_body_util::Full;
use std::{convert::Infallible, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

const BODY: &str = "first line\nsecond line\n";

/// A server that lists two objects, and answers everything else with [`BODY`].
async fn server() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(|request: Request<Incoming>| async move {
                let lists = request.uri().query().is_some();
                let body = match lists {
                    true => {
                        "<List><Contents><Key>a=1</Key></Contents>\
                         <Contents><Key>b</Key></Contents></List>"
                    }
                    false => BODY,
                };
                Ok::<_, Infallible>(Response::new(Full::new(Bytes::from(body))))
            });
            let connection = hyper::server::conn::http1::Builder::new();
            tokio::spawn(connection.serve_connection(TokioIo::new(stream), service));
        }
    });
    endpoint
}

async fn with(rule: Rule) -> S3Proxy {
    let proxy = S3Proxy::start(&server().await).await;
    proxy.inject(rule);
    proxy
}

/// What comes over one connection, and how it ends.
async fn ask(proxy: &S3Proxy, line: &str) -> (String, io::Result<usize>) {
    let mut stream = TcpStream::connect(("127.0.0.1", proxy.port)).await.unwrap();
    let request = format!("{line} HTTP/1.1\r\nhost: here\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    let ended = stream.read_to_end(&mut bytes).await;
    (String::from_utf8(bytes).unwrap(), ended)
}

#[tokio::test]
async fn a_body_is_reset_truncated_or_shortened() {
    let cut = Cut::After(5);
    let proxy = with(Rule::new(Fault::Reset(cut))).await;
    let (text, ended) = ask(&proxy, "GET /bucket/key").await;
    assert_eq!(ended.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    assert!(
        text.contains("content-length: 23") && text.ends_with("\r\n\r\nfirst"),
        "{text}"
    );

    let proxy = with(Rule::new(Fault::Truncated(cut))).await;
    let (text, ended) = ask(&proxy, "GET /bucket/key").await;
    ended.unwrap();
    assert!(
        text.contains("content-length: 23") && text.ends_with("\r\n\r\nfirst"),
        "{text}"
    );

    let proxy = with(Rule::new(Fault::Shortened(Cut::LastLine))).await;
    let (text, ended) = ask(&proxy, "GET /bucket/key").await;
    ended.unwrap();
    assert!(
        text.contains("content-length: 11") && text.ends_with("first line\n"),
        "{text}"
    );
    assert_eq!(proxy.injected_by_kind(), [("shortened", 1)].into());
}

#[tokio::test]
async fn a_request_is_refused_as_s3_does() {
    let proxy = with(Rule::new(Fault::SlowDown)).await;
    let (text, _) = ask(&proxy, "GET /bucket/key").await;
    assert!(
        text.starts_with("HTTP/1.1 503") && text.contains("<Code>SlowDown</Code>"),
        "{text}"
    );
    let proxy = with(Rule::new(Fault::InternalError)).await;
    let (text, _) = ask(&proxy, "PUT /bucket/key").await;
    assert!(
        text.starts_with("HTTP/1.1 500") && text.contains("InternalError"),
        "{text}"
    );
    assert_eq!(proxy.shared.state().put.len(), 0);
}

#[tokio::test]
async fn what_was_done_may_go_unsaid() {
    let proxy = with(Rule::new(Fault::LostAnswer)).await;
    let (text, _) = ask(&proxy, "PUT /bucket/key").await;
    assert_eq!(text, "");
    let proxy_after = with(Rule::new(Fault::ErrorAfterwards)).await;
    let (text, _) = ask(&proxy_after, "PUT /bucket/key").await;
    assert!(text.starts_with("HTTP/1.1 500"), "{text}");
    for proxy in [proxy, proxy_after] {
        assert_eq!(proxy.shared.state().put, ["bucket/key"]);
        assert_eq!((proxy.requests(), proxy.injected()), (1, 1));
    }
}

#[tokio::test]
async fn a_stale_list_lacks_what_was_put_since() {
    let proxy = with(Rule::new(Fault::StaleList)).await;
    let list = "GET /bucket?list-type=2&prefix=x";
    let (text, _) = ask(&proxy, list).await;
    assert!(
        text.contains("a=1") && text.contains("<Key>b</Key>"),
        "{text}"
    );
    assert_eq!(proxy.injected(), 0);
    ask(&proxy, "PUT /bucket/a%3D1").await.1.unwrap();
    let (text, _) = ask(&proxy, list).await;
    let left = "<List><Contents><Key>b</Key></Contents></List>";
    assert!(text.ends_with(left), "{text}");
    assert_eq!(proxy.injected(), 1);
    proxy.heal();
    assert!(ask(&proxy, list).await.0.contains("a=1"));
}

#[tokio::test]
async fn a_slow_answer_comes_late() {
    let delay = Duration::from_millis(200);
    let proxy = with(Rule::new(Fault::Slow(delay))).await;
    let early = tokio::time::timeout(delay / 2, ask(&proxy, "GET /bucket/key")).await;
    assert!(early.is_err());
    assert!(ask(&proxy, "GET /bucket/key").await.0.ends_with(BODY));
}

#[tokio::test]
async fn a_rule_picks_its_requests() {
    let failed = async |rule: Rule| {
        let proxy = with(rule).await;
        let mut failed = String::new();
        for number in 0..8 {
            let (method, path) = [("GET", "a b"), ("PUT", "c")][number % 2];
            let path = path.replace(' ', "%20");
            let (text, _) = ask(&proxy, &format!("{method} /bucket/{path}")).await;
            failed.push(if text.starts_with("HTTP/1.1 500") {
                'x'
            } else {
                '.'
            });
        }
        failed
    };
    let rule = || Rule::new(Fault::InternalError);
    assert_eq!(failed(rule().method("PUT")).await, ".x.x.x.x");
    assert_eq!(failed(rule().path("a b")).await, "x.x.x.x.");
    assert_eq!(failed(rule().every(3)).await, "x..x..x.");
    assert_eq!(failed(rule().path("/c").first(2)).await, ".x.x....");
    let drawn = failed(rule().share(0.5, 7)).await;
    assert!(drawn.contains('x') && drawn.contains('.'), "{drawn}");
    assert_eq!(failed(rule().share(0.5, 7)).await, drawn);
}
