//! Where in which bucket.

use percent_encoding::percent_decode_str;
use streamsync_core::config::BucketConfig;
use url::Url;

/// How much of a bucket and a prefix is part of a name.
const LONGEST: usize = 60;

/// A bucket, and what the keys of a lake in it begin with.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Place {
    /// The bucket's name.
    pub bucket: String,
    /// Empty, or ends in `/`.
    pub prefix: String,
}

/// The lake lies in no bucket.
#[derive(Debug, thiserror::Error)]
#[error("`{url}` is no bucket: write s3://bucket or s3://bucket/prefix")]
pub struct InvalidPlace {
    /// What was given.
    pub url: String,
}

impl Place {
    /// The place that a configuration names.
    pub fn of(bucket: &BucketConfig) -> Result<Self, InvalidPlace> {
        let invalid = || InvalidPlace {
            url: bucket.url.clone(),
        };
        let url = Url::parse(&bucket.url).map_err(|_not_a_url| invalid())?;
        let name = url.host_str().filter(|_| url.scheme() == "s3");
        let name = name.ok_or_else(invalid)?.to_owned();
        // Keys are written as they are, and URLs with escapes.
        let path = percent_decode_str(url.path()).decode_utf8();
        let path = path.map_err(|_not_text| invalid())?;
        let prefix = path.trim_matches('/');
        Ok(Self {
            bucket: name,
            prefix: match prefix {
                "" => String::new(),
                prefix => format!("{prefix}/"),
            },
        })
    }

    /// A name made of both, of at most 80 letters, digits and dashes, for what belongs to this lake: what
    /// queues and rules may be called. Where that leaves something out, a checksum tells lakes apart.
    pub(crate) fn name(&self) -> String {
        let whole = format!("{}/{}", self.bucket, self.prefix);
        let whole = whole.trim_end_matches('/');
        let plain = |letter: char| match letter.is_ascii_alphanumeric() {
            true => letter,
            false => '-',
        };
        let name: String = whole.chars().map(plain).take(LONGEST).collect();
        if name == whole {
            return format!("streamsync-{name}");
        }
        let checksum = crc32fast::hash(whole.as_bytes());
        format!("streamsync-{name}-{checksum:08x}")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn place(url: &str) -> Result<Place, InvalidPlace> {
        Place::of(&BucketConfig {
            url: url.to_owned(),
            ..BucketConfig::default()
        })
    }

    #[test]
    fn a_url_names_a_bucket_and_a_prefix() {
        let whole = place("s3://lake").unwrap();
        assert_eq!((whole.bucket.as_str(), whole.prefix.as_str()), ("lake", ""));
        assert_eq!(whole.name(), "streamsync-lake");
        let part = place("s3://lake/main/net/").unwrap();
        assert_eq!(
            (part.bucket.as_str(), part.prefix.as_str()),
            ("lake", "main/net/")
        );
        assert_eq!(part.name(), "streamsync-lake-main-net-ab95807a");
        let long = place(&format!("s3://{}/{}", "b".repeat(63), "p".repeat(200))).unwrap();
        let alike = [
            "s3://lake/main-net",
            "s3://lake-main-net",
            "s3://lake-main/net",
        ];
        let mut names: Vec<String> = alike.map(|url| place(url).unwrap().name()).into();
        names.extend([part.name(), long.name()]);
        assert!(names.iter().all(|name| name.len() <= 80), "{names:?}");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), 5);
        let spaced = place("s3://lake/main net/a+b").unwrap();
        assert_eq!(spaced.prefix, "main net/a+b/");
        for wrong in ["./lake", "memory:///lake", "http://lake", "s3:///lake"] {
            assert!(place(wrong).unwrap_err().to_string().contains(wrong));
        }
    }
}
