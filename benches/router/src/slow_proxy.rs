//! A worker made slow: a proxy that lets every request wait.

use crate::Fallible;
use axum::{
    Router,
    body::{Body, to_bytes},
    extract::{Request, State},
    http::StatusCode,
    response::{IntoResponse, Response},
};
use reqwest::Client;
use std::{net::TcpListener, sync::Arc, time::Duration};

struct Slow {
    to: String,
    by: Duration,
    client: Client,
}

/// Starts a proxy to a worker, and returns where it is. It serves as long as the process lives.
pub fn start(to: &str, by: Duration) -> Fallible<String> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    listener.set_nonblocking(true)?;
    let url = format!("http://{}", listener.local_addr()?);
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let slow = Arc::new(Slow {
        to: to.to_owned(),
        by,
        client: Client::builder().http2_prior_knowledge().build()?,
    });
    let routes = Router::new().fallback(pass_on).with_state(slow);
    tokio::spawn(async move { axum::serve(listener, routes).await });
    Ok(url)
}

async fn pass_on(State(slow): State<Arc<Slow>>, request: Request) -> Response {
    tokio::time::sleep(slow.by).await;
    let (parts, body) = request.into_parts();
    let url = format!("{}{}", slow.to, parts.uri.path());
    let Ok(body) = to_bytes(body, usize::MAX).await else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    let sent = slow
        .client
        .post(url)
        .header("content-type", "application/json")
        .body(body);
    let Ok(answer) = sent.send().await else {
        return StatusCode::BAD_GATEWAY.into_response();
    };
    let mut response = Response::builder().status(answer.status());
    for (name, value) in answer.headers() {
        response = response.header(name, value);
    }
    let bytes = answer.bytes().await.unwrap_or_default();
    response
        .body(Body::from(bytes))
        .unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response())
}
