//! Lists that have come whole before they count as answers.
//!
//! The object store asks again for what gets no answer, and for the rest of an object whose body breaks off;
//! for a list whose body breaks off it does not. Taken whole here, such a list is no answer either.

use object_store::{
    ClientOptions, Result,
    client::{
        HttpClient, HttpConnector, HttpError, HttpErrorKind, HttpRequest, HttpResponse, HttpService,
    },
};

/// Makes clients that take lists whole.
#[derive(Debug)]
pub(crate) struct WholeLists<C>(pub(crate) C);

impl<C: HttpConnector> HttpConnector for WholeLists<C> {
    fn connect(&self, options: &ClientOptions) -> Result<HttpClient> {
        let client = self.0.connect(options)?;
        Ok(HttpClient::new(Client(client)))
    }
}

#[derive(Debug)]
struct Client(HttpClient);

/// A list that ends before its end, though its length is what was said.
#[derive(Debug, thiserror::Error)]
#[error("the list ends after {0} bytes, before its end; it was cut off on its way")]
struct CutOff(usize);

#[async_trait::async_trait]
impl HttpService for Client {
    async fn call(&self, request: HttpRequest) -> Result<HttpResponse, HttpError> {
        let mut parameters = request.uri().query().unwrap_or_default().split('&');
        let lists = parameters.any(|parameter| parameter.starts_with("list-type="));
        let response = self.0.execute(request).await?;
        if !lists || !response.status().is_success() {
            return Ok(response);
        }
        let (head, body) = response.into_parts();
        // At most a thousand objects.
        let body = body.bytes().await;
        let body = body.map_err(|error| HttpError::new(HttpErrorKind::Interrupted, error))?;
        if !body.trim_ascii_end().ends_with(b"ListBucketResult>") {
            let cut_off = CutOff(body.len());
            return Err(HttpError::new(HttpErrorKind::Interrupted, cut_off));
        }
        Ok(HttpResponse::from_parts(head, body.into()))
    }
}
