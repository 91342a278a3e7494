//! News: what routers should know before they ask next. A channel, and nothing but a hint: whoever
//! misses a message learns the same when he polls.

use crate::{Registry, RegistryError};
use futures::{Stream, StreamExt};
use redis::Client;

impl Registry {
    /// Listens to news: one item each time that something changed which should not wait. The
    /// stream ends when the connection breaks.
    ///
    /// In a Redis Cluster every node passes messages on, so any will do.
    pub async fn news(&self) -> Result<impl Stream<Item = ()> + Unpin + use<>, RegistryError> {
        let failed = self.failed("listen to news");
        let client = Client::open(self.url().expose().clone()).map_err(&failed)?;
        let mut subscription = client.get_async_pubsub().await.map_err(&failed)?;
        let channel = self.news_channel();
        subscription.subscribe(channel).await.map_err(&failed)?;
        Ok(subscription.into_on_message().map(drop))
    }

    pub(crate) fn news_channel(&self) -> String {
        self.key("news")
    }
}
