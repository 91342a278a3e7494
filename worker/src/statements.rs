//! Statements that have been checked before.

use crate::{
    ExecuteError,
    engine::Engine,
    execution::{Found, failed},
    statement::{self, NotOneSelect, Statement},
};
use moka::sync::Cache;
use std::{collections::BTreeSet, sync::Arc};
use streamsync_core::{Query, Refusal};

/// The bytes of text of the statements that are remembered.
const REMEMBERED_BYTES: u64 = 8 << 20;

/// Statements that have been checked, by their text and the tables that they may name.
pub(crate) struct Statements(Cache<(String, Vec<String>), Arc<Statement>>);

impl Default for Statements {
    fn default() -> Self {
        let statements = Cache::builder()
            .max_capacity(REMEMBERED_BYTES)
            .weigher(|(sql, _): &(String, Vec<String>), _| {
                u32::try_from(sql.len()).unwrap_or(u32::MAX)
            })
            .build();
        Self(statements)
    }
}

impl Statements {
    /// The statement of a query, or why it is refused.
    pub(crate) async fn check(
        &self,
        engine: &Arc<Engine>,
        query: &Query,
    ) -> Result<Result<Arc<Statement>, (Refusal, String)>, ExecuteError> {
        let tables = query.snapshot.iter().map(|(name, _)| name.to_string());
        let key = (query.sql.clone(), tables.collect::<Vec<_>>());
        if let Some(known) = self.0.get(&key) {
            return Ok(Ok(known));
        }
        let engine = Arc::clone(engine);
        let asked = key.clone();
        let checked = tokio::task::spawn_blocking(move || {
            let (sql, tables) = asked;
            let tables: BTreeSet<String> = tables.into_iter().collect();
            let session = engine.session()?;
            let checked = statement::check(&session.connection, &sql, &tables);
            engine.give_back(session);
            checked
        })
        .await?;
        match checked {
            Ok(statement) => {
                let statement = Arc::new(statement);
                self.0.insert(key, Arc::clone(&statement));
                Ok(Ok(statement))
            }
            Err(NotOneSelect::Ask(error)) => match failed(&error)? {
                Found::Refused(refusal, detail) => Ok(Err((refusal, detail))),
                Found::Rows { .. } => Err(ExecuteError::Engine(error.to_string())),
            },
            Err(refused) => Ok(Err((Refusal::InvalidQuery, refused.to_string()))),
        }
    }
}
