//! Queries as the router sends them.

use crate::{
    Fallible,
    keys::{Keys, mix},
    lake::{self, FIRST_DAY, FIRST_SLOT, SLOTS, account_transactions, signatures},
};
use std::{collections::BTreeSet, path::PathBuf};
use streamsync_core::{Parameter, Partition, Query, QueryId, clock::SystemClock};
use streamsync_lake::{DataFile, Lake, Table, prune, tables};
use streamsync_router::{Catalog, analyse};

/// A query, and the files that can hold what it asks for.
#[derive(Clone)]
pub struct Question {
    /// As the worker gets it.
    pub query: Query,
    /// Files, each below the folder of its table.
    pub files: Vec<(&'static str, DataFile)>,
}

/// Plans queries over a lake as the router does: with the router's own analysis.
pub struct Planner {
    catalog: Catalog,
}

impl Planner {
    /// A planner over the newest versions of the lake's tables.
    pub async fn open(lake: &Lake) -> Fallible<Self> {
        Ok(Self {
            catalog: Catalog::new(lake::tables(lake).await?),
        })
    }

    /// A table by its name.
    pub fn table(&self, name: &str) -> Fallible<&Table> {
        let table = self.catalog.table(name);
        Ok(table.ok_or_else(|| format!("the lake has no table {name}"))?)
    }

    /// Plans one query.
    pub async fn plan(&self, sql: &str, parameters: Vec<Parameter>) -> Fallible<Question> {
        let analysed = analyse(sql, &self.catalog, &parameters)?;
        let (mut files, mut partitions, mut snapshot) = (Vec::new(), BTreeSet::new(), Vec::new());
        for name in &analysed.tables {
            let table = self.table(name.as_str())?;
            let definition = tables::definition(name.as_str()).ok_or("not a table of the lake")?;
            let all = table.files().await?;
            let constraints = analysed.constraints.get(name);
            let constraints = constraints.map_or(&[][..], Vec::as_slice);
            for file in prune(definition, &all, constraints) {
                partitions.insert(Partition {
                    table: name.clone(),
                    values: file.partition.clone(),
                });
                files.push((definition.name, file.clone()));
            }
            snapshot.push((name.clone(), table.version()));
        }
        let query = Query {
            id: QueryId::new(&SystemClock, [0; 10]),
            sql: analysed.sql,
            parameters: analysed.parameters,
            snapshot: snapshot.into_iter().collect(),
            partitions: partitions.into_iter().collect(),
            constraints: analysed.constraints,
            ordered: analysed.ordered,
            time_left_ms: 600_000,
            max_rows: 1_000_000,
            max_bytes: 256 << 20,
        };
        Ok(Question { query, files })
    }

    /// The paths of all files of a table of a lake in a folder, in the order of the rows.
    pub async fn paths(&self, folder: &std::path::Path, table: &str) -> Fallible<Vec<PathBuf>> {
        let mut files = self.table(table)?.files().await?.to_vec();
        let key = tables::definition(table).map_or("", |definition| definition.sort_by[0]);
        let order = |file: &DataFile| {
            let min = file.columns.get(key).and_then(|range| range.min.clone());
            (file.partition.clone(), format!("{min:?}"))
        };
        files.sort_by_key(order);
        let path = |file: &DataFile| folder.join(table).join(&file.path);
        Ok(files.iter().map(path).collect())
    }
}

/// A kind of lookup by key.
pub struct Lookup {
    /// The table.
    pub table: &'static str,
    /// The column of the key.
    pub key: &'static str,
    /// The query, with the key as its parameter.
    pub sql: &'static str,
    keys: fn(u64, u64) -> Keys,
}

/// The lookups that are measured.
pub const LOOKUPS: [Lookup; 2] = [
    Lookup {
        table: "signatures",
        key: "signature",
        sql: "SELECT slot, transaction_index FROM signatures WHERE signature = $1",
        keys: signatures::keys,
    },
    Lookup {
        table: "account_transactions",
        key: "account",
        sql: "SELECT slot, transaction_index, is_signer, is_writable FROM account_transactions \
              WHERE account = $1 ORDER BY slot DESC, transaction_index DESC LIMIT 20",
        keys: account_transactions::keys,
    },
];

impl Lookup {
    /// Keys that are in the lake of a seed at a scale, picked at random.
    pub fn keys(&self, seed: u64, scale: u64, many: usize) -> Vec<String> {
        let keys = (self.keys)(seed, lake::rows(self.table, scale));
        keys.pick(mix(seed, 10), many)
    }

    /// Looks each of the keys up.
    pub async fn questions(&self, planner: &Planner, keys: &[String]) -> Fallible<Vec<Question>> {
        let mut questions = Vec::new();
        for key in keys {
            let parameters = vec![Parameter::Text(key.clone())];
            questions.push(planner.plan(self.sql, parameters).await?);
        }
        Ok(questions)
    }
}

/// A query that reads much.
pub struct Scan {
    /// Its name.
    pub name: &'static str,
    /// The query.
    pub sql: &'static str,
    /// Its parameters.
    pub parameters: Vec<Parameter>,
}

/// The scans that are measured, all over `token_balances`.
pub fn scans() -> Vec<Scan> {
    let slot = |part: i64| Parameter::Integer((FIRST_SLOT + SLOTS * part / 10).into());
    let scan = |name, sql, parameters| Scan {
        name,
        sql,
        parameters,
    };
    vec![
        scan(
            "count by slot range",
            "SELECT count(*) AS n FROM token_balances WHERE slot BETWEEN $1 AND $2",
            vec![slot(3), slot(7)],
        ),
        scan(
            "group by mint",
            "SELECT mint, count(*) AS n, sum(post_amount) AS amount FROM token_balances \
             GROUP BY mint ORDER BY n DESC, mint LIMIT 10",
            vec![],
        ),
        scan(
            "filter on several columns",
            "SELECT count(*) AS n, sum(post_amount - pre_amount) AS change, max(slot) AS last \
             FROM token_balances WHERE decimals = 6 AND post_amount > pre_amount \
             AND transaction_index < 1000",
            vec![],
        ),
        scan(
            "one day, group by account",
            "SELECT account, count(*) AS n, max(post_amount) AS most FROM token_balances \
             WHERE date = $1 GROUP BY account ORDER BY n DESC, account LIMIT 10",
            vec![Parameter::Date(FIRST_DAY + 1)],
        ),
    ]
}
