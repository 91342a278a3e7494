//! Word of new versions of tables, from the queue that the bucket tells of them.

use crate::{InvalidPlace, Place, clients};
use aws_sdk_sqs::{Client, error::DisplayErrorContext, types::Message};
use serde::Deserialize;
use streamsync_core::config::BucketConfig;
use url::Url;

/// How long one call waits for messages: the longest that SQS allows.
const WAIT_S: i32 = 20;
/// How many messages one call takes: the most that SQS allows.
const AT_ONCE: i32 = 10;

/// A queue that a bucket tells of new objects.
#[derive(Clone, Debug)]
pub struct Notifications {
    sqs: Client,
    queue: Url,
    place: Place,
}

/// Why the queue could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("could not {what} the queue {queue}: {message}")]
pub struct NotificationsError {
    /// What was being done.
    pub what: &'static str,
    /// Which queue.
    pub queue: Url,
    /// In the server's words.
    pub message: String,
}

/// What S3 writes into a message; sources: the structure of its event messages, version 2.
#[derive(Deserialize)]
struct Body {
    #[serde(rename = "Records", default)]
    records: Vec<Record>,
}

#[derive(Deserialize)]
struct Record {
    s3: S3,
}

#[derive(Deserialize)]
struct S3 {
    bucket: Bucket,
    object: Object,
}

#[derive(Deserialize)]
struct Bucket {
    name: String,
}

#[derive(Deserialize)]
struct Object {
    key: String,
}

impl Notifications {
    /// The queue of a bucket, if its configuration names one. Nothing is asked of it yet.
    pub async fn open(config: &BucketConfig) -> Result<Option<Self>, InvalidPlace> {
        let Some(queue) = config.notifications.clone() else {
            return Ok(None);
        };
        Ok(Some(Self {
            sqs: clients::sqs(config, Some(&queue)).await,
            place: Place::of(config)?,
            queue,
        }))
    }

    /// Waits for messages, up to 20 seconds. Returns whether one of them is about a new version of a
    /// table of this lake. Messages are taken: of several who ask, one learns of it.
    pub async fn next(&self) -> Result<bool, NotificationsError> {
        let failed = |what, error: &dyn std::error::Error| NotificationsError {
            what,
            queue: self.queue.clone(),
            message: DisplayErrorContext(error).to_string(),
        };
        let received = self
            .sqs
            .receive_message()
            .queue_url(self.queue.as_str())
            .wait_time_seconds(WAIT_S)
            .max_number_of_messages(AT_ONCE)
            .send()
            .await
            .map_err(|error| failed("ask", &error))?;
        let messages = received.messages.unwrap_or_default();
        let new = messages.iter().any(|message| self.is_new_version(message));
        for message in messages {
            // Whoever sees a message again looks at the lake once more, and no harm is done.
            self.sqs
                .delete_message()
                .queue_url(self.queue.as_str())
                .set_receipt_handle(message.receipt_handle)
                .send()
                .await
                .map_err(|error| failed("take a message from", &error))?;
        }
        Ok(new)
    }

    fn is_new_version(&self, message: &Message) -> bool {
        let body = message.body.as_deref().unwrap_or_default();
        // S3 also sends a message that is only to show that it may.
        let Ok(body) = serde_json::from_str::<Body>(body) else {
            return false;
        };
        body.records.iter().any(|record| {
            record.s3.bucket.name == self.place.bucket
                && is_log_entry(&record.s3.object.key, &self.place.prefix)
        })
    }
}

/// Whether a key, as S3 writes it into messages, is that of a version in a table's log.
fn is_log_entry(key: &str, prefix: &str) -> bool {
    // All that is escaped in such a key is in the prefix.
    let decoded = url::form_urlencoded::parse(key.as_bytes()).next();
    let key = decoded.map(|(key, _)| key.into_owned()).unwrap_or_default();
    let path = key.strip_prefix(prefix).unwrap_or_default();
    let mut parts = path.rsplit('/');
    let (file, folder) = (parts.next().unwrap_or_default(), parts.next());
    let version = file.strip_suffix(".json").unwrap_or_default();
    folder == Some("_delta_log")
        && version.len() == 20
        && version.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_told_from_other_objects() {
        let version = "00000000000000000012.json";
        assert!(is_log_entry(&format!("blocks/_delta_log/{version}"), ""));
        assert!(is_log_entry(
            &format!("main+net/a%2Bb/blocks/_delta_log/{version}"),
            "main net/a+b/"
        ));
        for other in [
            "other/blocks/_delta_log/00000000000000000012.json",
            "lake/blocks/_delta_log/00000000000000000012.checkpoint.parquet",
            "lake/blocks/date=2026-01-01/a.json",
            "lake/blocks/_delta_log/_last_checkpoint.json",
            "",
        ] {
            assert!(!is_log_entry(other, "lake/"), "{other}");
        }
    }
}
