//! The name of a file of the lake.

use std::{fmt, sync::Arc};
use streamsync_lake::{DataFile, Table};

/// The name of a file of the lake, with its table. A file never changes once it is in the lake, so
/// what is known of one is true for ever.
#[derive(Clone, Debug, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub(crate) struct FileKey(Arc<str>);

impl FileKey {
    pub(crate) fn new(table: &Table, file: &DataFile) -> Self {
        Self(format!("{}/{}", table.name(), file.path).into())
    }

    pub(crate) fn parse(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Display for FileKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}
