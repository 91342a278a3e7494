//! The trace that a request belongs to, as W3C Trace Context writes it into headers.

use http::{HeaderMap, HeaderName, HeaderValue};
use opentelemetry::{
    global,
    propagation::{Extractor, Injector},
};
use std::sync::atomic::{AtomicBool, Ordering};
use tracing::Span;
use tracing_opentelemetry::OpenTelemetrySpanExt;

/// Whether anything is traced: else headers are neither read nor written.
static TRACING: AtomicBool = AtomicBool::new(false);

pub(crate) fn begin() {
    TRACING.store(true, Ordering::Relaxed);
}

/// Makes a span a part of the trace that a request names in its headers, if it names one.
pub fn continue_trace(span: &Span, headers: &HeaderMap) {
    if !TRACING.load(Ordering::Relaxed) {
        return;
    }
    let parent =
        global::get_text_map_propagator(|propagator| propagator.extract(&Headers(headers)));
    // A span that is filtered out belongs to no trace.
    let _unsampled = span.set_parent(parent);
}

/// Names the trace of the current span in the headers of a request.
pub fn pass_on(headers: &mut HeaderMap) {
    if !TRACING.load(Ordering::Relaxed) {
        return;
    }
    let context = Span::current().context();
    global::get_text_map_propagator(|propagator| {
        propagator.inject_context(&context, &mut HeadersMut(headers));
    });
}

struct Headers<'a>(&'a HeaderMap);

impl Extractor for Headers<'_> {
    fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key)?.to_str().ok()
    }

    fn keys(&self) -> Vec<&str> {
        self.0.keys().map(HeaderName::as_str).collect()
    }
}

struct HeadersMut<'a>(&'a mut HeaderMap);

impl Injector for HeadersMut<'_> {
    fn set(&mut self, key: &str, value: String) {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(key), HeaderValue::try_from(value)) {
            self.0.insert(name, value);
        }
    }
}
