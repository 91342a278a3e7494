//! What the proxy answers.

use super::Fault;
use bytes::Bytes;
use futures::{StreamExt, stream};
use http_body_util::{BodyExt, Full, StreamBody, combinators::UnsyncBoxBody};
use hyper::{
    Response, StatusCode,
    body::{Frame, Incoming},
    header::{CONTENT_LENGTH, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING},
    http::response::Parts,
};
use std::io;

pub(super) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// The server's answer, as it comes.
pub(super) fn whole(response: Response<Incoming>) -> Response<Body> {
    response.map(|body| body.map_err(io::Error::other).boxed_unsync())
}

fn full(bytes: impl Into<Bytes>) -> Body {
    Full::new(bytes.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// What S3 says when it fails.
pub(super) fn refusal(fault: &Fault) -> Response<Body> {
    let (status, code, message) = match fault {
        Fault::SlowDown => (
            StatusCode::SERVICE_UNAVAILABLE,
            "SlowDown",
            "Please reduce your request rate.",
        ),
        _ => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "InternalError",
            "We encountered an internal error. Please try again.",
        ),
    };
    let body = format!(
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>{code}</Code>\
         <Message>{message}</Message><RequestId>1</RequestId><HostId>1</HostId></Error>"
    );
    let mut response = Response::new(full(body));
    *response.status_mut() = status;
    let xml = HeaderValue::from_static("application/xml");
    response.headers_mut().insert(CONTENT_TYPE, xml);
    response
}

/// A head for a body of another length.
fn head(mut parts: Parts, length: usize) -> Parts {
    parts.headers.remove(TRANSFER_ENCODING);
    parts.headers.insert(CONTENT_LENGTH, length.into());
    parts
}

/// The answer with its body cut, and whether something is missing; an error is left whole.
pub(super) async fn cut(
    response: Response<Incoming>,
    fault: &Fault,
) -> Result<(Response<Body>, bool), io::Error> {
    let (Fault::Reset(at) | Fault::Truncated(at) | Fault::Shortened(at)) = fault else {
        return Ok((whole(response), false));
    };
    if !response.status().is_success() {
        return Ok((whole(response), false));
    }
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let Some(kept) = at.of(&body) else {
        return Ok((Response::from_parts(parts, full(body)), false));
    };
    let left = body.slice(..kept);
    if matches!(fault, Fault::Shortened(_)) {
        let parts = head(parts, left.len());
        return Ok((Response::from_parts(parts, full(left)), true));
    }
    let parts = head(parts, body.len());
    let broken = stream::once(async { Ok(Frame::data(left)) }).chain(stream::once(async {
        // So that what is left is sent before the connection is closed.
        tokio::task::yield_now().await;
        Err(io::Error::other("the body is cut"))
    }));
    let body = StreamBody::new(broken).boxed_unsync();
    Ok((Response::from_parts(parts, body), true))
}

/// A list without the objects that `hidden` picks by their path, and whether there were any.
pub(super) async fn without(
    response: Response<Incoming>,
    bucket: &str,
    hidden: impl Fn(&str) -> bool,
) -> Result<(Response<Body>, bool), io::Error> {
    const BEGIN: &str = "<Contents>";
    const END: &str = "</Contents>";
    let (parts, body) = response.into_parts();
    let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
    let text = String::from_utf8_lossy(&body);
    let (mut rest, mut left) = (text.as_ref(), String::new());
    while let Some((before, object)) = rest.split_once(BEGIN) {
        let (object, after) = object.split_once(END).unwrap_or((object, ""));
        let key = object
            .split_once("<Key>")
            .and_then(|(_, key)| key.split_once("</Key>"))
            .map_or("", |(key, _)| key);
        left.push_str(before);
        if !hidden(&format!("{bucket}/{key}")) {
            left.push_str(&format!("{BEGIN}{object}{END}"));
        }
        rest = after;
    }
    left.push_str(rest);
    let stale = left.len() < text.len();
    let parts = head(parts, left.len());
    Ok((Response::from_parts(parts, full(left)), stale))
}
