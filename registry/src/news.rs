//! News: what others should know before they ask next. A channel, and nothing but a hint: whoever
//! misses a message learns the same when he polls.

use crate::{Registry, RegistryError};
use futures::{Stream, StreamExt, stream};
use redis::AsyncCommands;
use std::time::Duration;

/// What a channel says of a new version of a table.
const LAKE: &str = "lake";

/// How long is waited before news are listened to again.
const LISTEN_AGAIN_AFTER: Duration = Duration::from_secs(1);

/// What there is news about.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum News {
    /// Something in the registry changed which should not wait.
    Registry,
    /// There may be a new version of a table in the lake.
    Lake,
}

impl Registry {
    /// Listens to news. The stream ends when the connection breaks.
    ///
    /// In a Redis Cluster every node passes messages on, so any will do.
    pub async fn news(&self) -> Result<impl Stream<Item = News> + Unpin + use<>, RegistryError> {
        let failed = self.failed("listen to news");
        let mut subscription = self.client().get_async_pubsub().await.map_err(&failed)?;
        let channel = self.news_channel();
        subscription.subscribe(channel).await.map_err(&failed)?;
        let messages = subscription.into_on_message();
        Ok(messages.map(|message| match message.get_payload_bytes() {
            payload if payload == LAKE.as_bytes() => News::Lake,
            _ => News::Registry,
        }))
    }

    /// Listens to news again and again: whenever the connection breaks it is made anew. That Redis is away
    /// is not said here; whoever polls it says so.
    pub fn all_news(&self) -> impl Stream<Item = News> + use<> {
        let subscriptions = stream::unfold((self.clone(), true), |(registry, first)| async move {
            if !first {
                tokio::time::sleep(LISTEN_AGAIN_AFTER).await;
            }
            let news = match registry.news().await {
                Ok(news) => news.left_stream(),
                Err(_away) => stream::empty().right_stream(),
            };
            Some((news, (registry, false)))
        });
        subscriptions.flatten()
    }

    /// Tells all who listen that there may be a new version of a table in the lake.
    pub async fn tell_of_lake(&self) -> Result<(), RegistryError> {
        let telling = self.redis().publish(self.news_channel(), LAKE).await;
        telling.map_err(self.failed("tell of a new version of a table"))
    }

    pub(crate) fn news_channel(&self) -> String {
        self.key("news")
    }
}
