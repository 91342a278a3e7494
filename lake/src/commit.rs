//! One attempt at one Delta commit.

use crate::{
    TransactionId,
    open::Parts,
    table::{COVERAGE_DOMAIN, ENGINE_INFO, Table},
};
use arrow::{
    array::{RecordBatch, StringArray},
    datatypes::{DataType, Field, Schema},
};
use delta_kernel::{
    DeltaResult, Engine, Error,
    committer::FileSystemCommitter,
    engine::{arrow_conversion::TryFromArrow, arrow_data::ArrowEngineData},
    schema::StructType,
    transaction::CommitResult,
};
use object_store::{ObjectStoreExt, path::Path};
use std::sync::Arc;
use uuid::Uuid;

/// The field of a commit's `commitInfo` that holds the identifier of the append.
const APPEND_FIELD: &str = "streamsyncAppend";

/// What a commit says.
#[derive(Debug)]
pub(crate) struct Commit {
    /// By which it is recognised in the log.
    pub(crate) id: Uuid,
    /// The new files, one row each.
    pub(crate) adds: Vec<RecordBatch>,
    pub(crate) transaction: Option<TransactionId>,
    /// The table's coverage from this commit on, as text.
    pub(crate) coverage: Option<String>,
}

/// What became of an attempt.
pub(crate) enum Attempt {
    Committed(Parts),
    /// The version exists; most likely someone else wrote it.
    Conflict,
    /// There was an error, before or after the version was written.
    Unknown(Error),
}

impl Commit {
    /// Tries to make this the version after the table's. Blocks.
    pub(crate) fn attempt(&self, engine: &dyn Engine, table: &Table) -> Attempt {
        match self.commit(engine, table) {
            Ok(CommitResult::Committed(committed)) => match committed.post_commit_snapshot() {
                Some(snapshot) => match Parts::of(Arc::clone(snapshot)) {
                    Ok(parts) => Attempt::Committed(parts),
                    Err(error) => Attempt::Unknown(error),
                },
                None => Attempt::Conflict,
            },
            Ok(CommitResult::Conflicted(_)) => Attempt::Conflict,
            Ok(CommitResult::Retryable(failed)) => Attempt::Unknown(failed.error),
            Err(error) => Attempt::Unknown(error),
        }
    }

    fn commit(&self, engine: &dyn Engine, table: &Table) -> DeltaResult<CommitResult> {
        let info = Schema::new(vec![Field::new(APPEND_FIELD, DataType::Utf8, false)]);
        let info_schema = Arc::new(StructType::try_from_arrow(&info)?);
        let id = StringArray::from(vec![self.id.to_string()]);
        let info = RecordBatch::try_new(Arc::new(info), vec![Arc::new(id)])?;
        let mut transaction = Arc::clone(table.snapshot())
            .transaction(Box::new(FileSystemCommitter::new()), engine)?
            .with_operation("WRITE".to_owned())
            .with_engine_info(ENGINE_INFO)
            .with_commit_info(Box::new(ArrowEngineData::new(info)), info_schema)
            .with_data_change(true);
        if let Some(TransactionId { app_id, version }) = &self.transaction {
            transaction = transaction.with_transaction_id(app_id.clone(), *version);
        }
        if let Some(coverage) = &self.coverage {
            transaction =
                transaction.with_domain_metadata(COVERAGE_DOMAIN.to_owned(), coverage.clone());
        }
        for add in &self.adds {
            transaction.add_files(Box::new(ArrowEngineData::new(add.clone())));
        }
        transaction.commit(engine)
    }

    /// Whether that version of the table is this commit. A request that is sent again after its
    /// answer was lost finds its own object there, and looks like a conflict.
    pub(crate) async fn is_version(
        &self,
        table: &Table,
        version: u64,
    ) -> Result<bool, object_store::Error> {
        let root = Path::from_url_path(table.snapshot().table_root().path())?;
        let path = root.join("_delta_log").join(format!("{version:020}.json"));
        let text = table.lake().store().get(&path).await?.bytes().await?;
        let id = self.id.to_string();
        Ok(text.windows(id.len()).any(|bytes| bytes == id.as_bytes()))
    }
}
