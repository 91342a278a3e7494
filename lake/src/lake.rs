//! The lake: a bucket with tables in it.

use crate::{
    CheckLakeError, CreateTableError, OpenTableError, Table, check, create, engine, engine::Engine,
    store, tables, tables::TableDefinition,
};
use arrow::datatypes::SchemaRef;
use futures::{StreamExt, TryStreamExt, stream};
use object_store::{ObjectStore, path::Path};
use std::{fmt, sync::Arc};
use streamsync_core::{TableName, config::BucketConfig};
use url::Url;

/// How many tables are created, or looked for, at the same time.
const AT_ONCE: usize = 8;

/// A bucket, or a folder in one, that holds Delta tables. Cheap to clone.
#[derive(Clone)]
pub struct Lake {
    inner: Arc<Inner>,
}

struct Inner {
    url: Url,
    store: Arc<dyn ObjectStore>,
    engine: Engine,
}

/// Why a lake could not be opened: the configuration is wrong. Nothing has been asked of the
/// bucket yet.
#[derive(Debug, thiserror::Error)]
pub enum OpenLakeError {
    /// The bucket's URL is not a URL.
    #[error("could not read the bucket's URL `{url}`: write s3://bucket/prefix or a path")]
    Url {
        /// What was given.
        url: String,
        /// The cause.
        #[source]
        source: url::ParseError,
    },
    /// The bucket's path is not a path.
    #[error("could not read `{path}` as the path of a folder")]
    Path {
        /// What was given.
        path: String,
        /// The cause.
        #[source]
        source: std::io::Error,
    },
    /// The URL's scheme is none that the lake speaks.
    #[error("could not open the bucket `{url}`: use s3://, file://, memory:/// or a path")]
    UnknownScheme {
        /// What was given.
        url: String,
    },
    /// The URL says what kind of bucket, but not which.
    #[error(
        "the bucket's URL `{url}` names no bucket: write s3://bucket/prefix, file:///folder or \
         memory:///name"
    )]
    NoBucketName {
        /// What was given.
        url: String,
    },
    /// The S3 client refused its configuration.
    #[error("could not make an S3 client for `{url}`: check the endpoint, region and keys")]
    Client {
        /// The bucket.
        url: String,
        /// The cause.
        #[source]
        source: object_store::Error,
    },
    /// The threads of the lake could not be started.
    #[error("could not start the lake's threads: {message}")]
    Runtime {
        /// The kind of the cause.
        kind: std::io::ErrorKind,
        /// The cause, in the system's words.
        message: String,
    },
}

/// Why the tables could not be listed.
#[derive(Debug, thiserror::Error)]
#[error("could not list the tables in {url}")]
pub struct ListTablesError {
    /// The lake.
    pub url: Url,
    /// The cause.
    #[source]
    pub source: object_store::Error,
}

impl Lake {
    /// Opens the bucket that the configuration names, without asking anything of it yet: see
    /// [`Lake::check`].
    ///
    /// Its `url` is `s3://bucket/prefix` (any endpoint, path style), `file:///folder`, a plain
    /// path, or `memory:///name`, which is one store per name for the life of the process.
    pub fn open(bucket: &BucketConfig) -> Result<Lake, OpenLakeError> {
        let (url, store) = store::open(bucket)?;
        Self::with_store(url, store)
    }

    /// A lake over an object store of the caller's, for one that counts, fails or caches. The
    /// store's own root is the URL's: a bucket for `s3://`, `/` for `file://`.
    pub fn with_store(mut url: Url, store: Arc<dyn ObjectStore>) -> Result<Lake, OpenLakeError> {
        if !url.path().ends_with('/') {
            url.set_path(&format!("{}/", url.path()));
        }
        let engine = Engine::new(Arc::clone(&store), engine::runtime()?);
        Ok(Self {
            inner: Arc::new(Inner { url, store, engine }),
        })
    }

    /// The URL, ending in `/`.
    pub fn url(&self) -> &Url {
        &self.inner.url
    }

    /// Asks the bucket one small thing, to tell whether it can be used.
    ///
    /// # Errors
    ///
    /// An endpoint that does not answer, keys that are refused or absent, and a bucket or folder
    /// that does not exist are told apart. The folder of a `file://` lake is made by
    /// [`Lake::create_tables`], so it does not exist before.
    pub async fn check(&self) -> Result<(), CheckLakeError> {
        check::check(self).await
    }

    /// Creates whichever of [`tables::definitions`](crate::tables::definitions) are missing. Done
    /// twice, or by two processes at once, it does no more than done once.
    ///
    /// # Errors
    ///
    /// As [`Lake::create_table`].
    pub async fn create_tables(&self) -> Result<(), CreateTableError> {
        let creations: Vec<_> = tables::definitions()
            .iter()
            .map(|definition| self.create_table(definition))
            .collect();
        stream::iter(creations)
            .buffer_unordered(AT_ONCE)
            .try_for_each(|_| async { Ok(()) })
            .await
    }

    /// Creates a table; if it exists already, opens it.
    ///
    /// # Errors
    ///
    /// A table of that name with other columns or partitions; a bucket that cannot be read or
    /// written.
    pub async fn create_table(
        &self,
        definition: &TableDefinition,
    ) -> Result<Table, CreateTableError> {
        let name = TableName::new(definition.name)?;
        let partition_column = definition.partition_by.column();
        create::create(self, &name, &definition.schema, partition_column).await
    }

    /// Creates a table that has no definition, cut by one column; if it exists already, opens it.
    ///
    /// # Errors
    ///
    /// As [`Lake::create_table`].
    pub async fn create_derived_table(
        &self,
        name: &TableName,
        schema: &SchemaRef,
        partition_column: &str,
    ) -> Result<Table, CreateTableError> {
        create::create(self, name, schema, partition_column).await
    }

    /// The newest version of a table.
    ///
    /// # Errors
    ///
    /// [`OpenTableError::NotFound`] where there is no such table, and what keeps its log from
    /// being read.
    pub async fn table(&self, name: &TableName) -> Result<Table, OpenTableError> {
        Table::open(self, name, None).await
    }

    /// A table at an exact version.
    ///
    /// # Errors
    ///
    /// As [`Lake::table`], and [`OpenTableError::NoSuchVersion`].
    pub async fn table_at(&self, name: &TableName, version: u64) -> Result<Table, OpenTableError> {
        Table::open(self, name, Some(version)).await
    }

    /// The names of the tables in the bucket, sorted. A bucket that is not there has none.
    pub async fn table_names(&self) -> Result<Vec<TableName>, ListTablesError> {
        let failed = |source| ListTablesError {
            url: self.url().clone(),
            source,
        };
        let root = object_path(self.url()).map_err(failed)?;
        let found = match self.store().list_with_delimiter(Some(&root)).await {
            Ok(found) => found.common_prefixes,
            Err(object_store::Error::NotFound { .. }) if self.url().scheme() == "file" => {
                Vec::new()
            }
            Err(source) => return Err(failed(source)),
        };
        let looks: Vec<_> = found
            .iter()
            .filter_map(|folder| TableName::new(folder.filename()?).ok())
            .map(|name| async move {
                let found = self.has_log(&name).await?;
                Ok(found.then_some(name))
            })
            .collect();
        let mut tables: Vec<TableName> = stream::iter(looks)
            .buffer_unordered(AT_ONCE)
            .try_collect::<Vec<_>>()
            .await
            .map_err(failed)?
            .into_iter()
            .flatten()
            .collect();
        tables.sort();
        Ok(tables)
    }

    pub(crate) fn store(&self) -> &Arc<dyn ObjectStore> {
        &self.inner.store
    }

    pub(crate) fn engine(&self) -> &Engine {
        &self.inner.engine
    }

    /// The URL of a table's root, ending in `/`.
    pub(crate) fn table_url(&self, name: &TableName) -> Url {
        let mut url = self.url().clone();
        url.set_path(&format!("{}{name}/", url.path()));
        url
    }

    /// Whether there is a Delta log where that table's would be.
    pub(crate) async fn has_log(&self, name: &TableName) -> Result<bool, object_store::Error> {
        let log = object_path(&self.table_url(name))?.join("_delta_log");
        match self.store().list(Some(&log)).next().await {
            None | Some(Err(object_store::Error::NotFound { .. })) => Ok(false),
            Some(Ok(_)) => Ok(true),
            Some(Err(error)) => Err(error),
        }
    }
}

/// The path of a URL in its object store.
pub(crate) fn object_path(url: &Url) -> Result<Path, object_store::Error> {
    Ok(Path::from_url_path(url.path())?)
}

impl fmt::Debug for Lake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Lake")
            .field("url", &self.inner.url.as_str())
            .finish_non_exhaustive()
    }
}
