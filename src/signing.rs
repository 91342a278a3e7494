//! Asking a router under one's name.

use crate::Failure;
use rand::Rng;
use reqwest::{Client, Method, RequestBuilder, Response, header::HeaderMap};
use std::path::PathBuf;
use streamsync_access::{Message, SigningKey};
use streamsync_core::{
    Problem,
    clock::{Clock, SystemClock},
};
use url::Url;

/// Which router is asked, and with which key.
#[derive(clap::Args, Clone, Debug)]
pub struct RouterArgs {
    /// The router.
    #[arg(
        long,
        env = "STREAMSYNC_ROUTER_URL",
        default_value = "http://127.0.0.1:8080",
        value_name = "URL"
    )]
    pub router: Url,
    /// The file of an API key, as `streamsync keys create --out` writes it. Without one requests are
    /// not signed, which only a router with --insecure-no-auth takes.
    #[arg(long, env = "STREAMSYNC_KEY", value_name = "FILE")]
    pub key: Option<PathBuf>,
}

/// A router, and the key to sign with.
pub struct Asker {
    client: Client,
    router: Url,
    key: Option<SigningKey>,
}

impl Asker {
    /// Reads the key.
    pub fn new(args: &RouterArgs) -> Result<Self, Failure> {
        Ok(Self {
            client: Client::builder().no_proxy().build()?,
            router: args.router.clone(),
            key: args.key.as_deref().map(SigningKey::read).transpose()?,
        })
    }

    /// A request, signed if there is a key.
    fn request(
        &self,
        method: Method,
        path: &str,
        body: Vec<u8>,
    ) -> Result<RequestBuilder, Failure> {
        let url = self.router.join(path)?;
        let mut request = self.client.request(method.clone(), url.clone());
        if let Some(key) = &self.key {
            #[allow(clippy::disallowed_methods)]
            let nonce = hex(rand::rng().random());
            let authority = match (url.host_str(), url.port()) {
                (Some(host), Some(port)) => format!("{host}:{port}"),
                (host, _) => host.unwrap_or_default().to_owned(),
            };
            let message = Message {
                method: method.as_str(),
                authority: &authority,
                path: url.path(),
                query: url.query(),
                headers: &Default::default(),
            };
            let now = SystemClock.unix_millis() / 1_000;
            request = request.headers(key.sign(message, &body, now, &nonce));
        }
        if !body.is_empty() {
            request = request
                .header("content-type", "application/json")
                .body(body);
        }
        Ok(request)
    }

    /// Sends a request. What the router refuses is an answer too.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        accept: &str,
        body: Vec<u8>,
    ) -> Result<Response, Failure> {
        let mut trace = HeaderMap::new();
        streamsync_telemetry::pass_on(&mut trace);
        let request = self.request(method, path, body)?.headers(trace);
        let request = request.header("accept", accept);
        request.send().await.map_err(|error| {
            format!(
                "could not reach the router at {}: {error}; is it running?",
                self.router
            )
            .into()
        })
    }
}

fn hex(bytes: [u8; 16]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// What the router said against a request, as an error.
pub async fn refusal(response: Response) -> Failure {
    let status = response.status();
    match response.json::<Problem>().await {
        Ok(problem) => format!("{} ({status}, {})", problem.detail, problem.kind).into(),
        Err(_) => format!("the router answered {status}").into(),
    }
}
