//! Checking what was settled: anyone can who reads the bucket and the chain.

use crate::{
    Batch, BatchError, Chain, ChainError,
    aggregate::{Aggregate, AggregateError, Parts, aggregate},
    batch::genuine,
};
use arrow::array::AsArray;
use std::collections::BTreeMap;
use streamsync_core::{SignedReceipt, TableName, WorkerId, settlement_file};
use streamsync_lake::{
    Constraint, ConstraintOp, Lake, ListFilesError, ObjectError, OpenTableError, ReadFileError,
    Scalar, Table, prune, tables,
};

/// A settled batch that was computed again.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Audit {
    /// The batch.
    pub batch: u64,
    /// The receipts that were read from the lake.
    pub receipts: u64,
    /// The first thing that is not as it should be; `None` if all is.
    pub difference: Option<Difference>,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Difference {
    /// What it is.
    pub what: String,
    /// As it should be.
    pub expected: String,
    /// As it is.
    pub found: String,
}

/// Why a batch could not be computed again.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The chain does not answer, or has no such batch.
    #[error(transparent)]
    Chain(#[from] Box<ChainError>),
    /// The bucket failed.
    #[error(transparent)]
    Bucket(#[from] ObjectError),
    /// The file of the batch is no such file.
    #[error(transparent)]
    Batch(#[from] Box<BatchError>),
    /// The table of receipts could not be opened.
    #[error(transparent)]
    Open(#[from] Box<OpenTableError>),
    /// Its files could not be listed.
    #[error(transparent)]
    List(#[from] Box<ListFilesError>),
    /// Receipts could not be read.
    #[error(transparent)]
    Read(#[from] Box<ReadFileError>),
    /// The sums are too large.
    #[error(transparent)]
    Aggregate(#[from] AggregateError),
}

/// What differs first of a list of what should be the same.
struct Comparison(Option<Difference>);

impl Comparison {
    fn same<T: PartialEq + ToString>(&mut self, what: &str, expected: T, found: T) {
        if self.0.is_none() && expected != found {
            self.0 = Some(Difference {
                what: what.to_owned(),
                expected: expected.to_string(),
                found: found.to_string(),
            });
        }
    }
}

/// Computes a settled batch again from the receipts in the lake, and compares it with its file and
/// with the chain.
pub async fn audit(chain: &Chain, lake: &Lake, number: u64) -> Result<Audit, AuditError> {
    let settled = chain.batch(number).await.map_err(Box::new)?;
    let settled = settled.ok_or_else(|| {
        Box::new(ChainError::NotThere {
            what: "batch",
            address: chain.address().batch(number),
        })
    })?;
    let mut comparison = Comparison(None);
    let Some(file) = read(chain, lake, number).await? else {
        comparison.same("file", settlement_file(number), "none".to_owned());
        return Ok(Audit {
            batch: number,
            receipts: 0,
            difference: comparison.0,
        });
    };
    let header = &file.header;
    let hex = |bytes: &[u8]| hex::encode(bytes);
    comparison.same("hash of the file", hex(&settled.file_hash), hex(&file.hash));
    comparison.same("first receipt", settled.first_receipt, header.first_receipt);
    comparison.same("last receipt", settled.last_receipt, header.last_receipt);

    let before = match number {
        1 => None,
        _ => read(chain, lake, number - 1).await?.map(|file| file.header),
    };
    comparison.same("batch before", number == 1, before.is_none());
    let carried = before.as_ref().map(|before| before.carried_out.clone());
    let same = header.carried_in == carried.clone().unwrap_or_default();
    comparison.same("what was carried over", true, same);

    let mut rows = receipts(lake, number).await?;
    rows.sort_by_key(|(place, _)| *place);
    let routers = before.map(|before| before.routers).unwrap_or_default();
    let good = check_receipts(&mut comparison, &file, &rows, routers);
    let parts = Parts {
        treasury: header.treasury,
        data: header.data,
        governance: header.governance,
    };
    let carried = carried.unwrap_or_default();
    let Aggregate {
        rewards,
        carried,
        charged,
        total,
    } = aggregate(good.iter(), &carried, &parts, header.dust)?;
    let network = chain.address().network;
    let tree = crate::RewardTree::new(&network, number, &rewards);
    comparison.same("charged", charged, header.charged);
    comparison.same("total", total.0, settled.total);
    comparison.same("rewards", rewards.len() as u64, u64::from(settled.leaves));
    comparison.same("root", hex(&tree.root()), hex(&settled.root));
    comparison.same("what is carried over", true, carried == header.carried_out);
    Ok(Audit {
        batch: number,
        receipts: rows.len() as u64,
        difference: comparison.0,
    })
}

/// Compares the receipts in the lake with those of the file; those that pay somebody.
fn check_receipts(
    comparison: &mut Comparison,
    file: &Batch,
    rows: &[(u64, String)],
    mut routers: BTreeMap<WorkerId, u64>,
) -> Vec<SignedReceipt> {
    let header = &file.header;
    let count = header.last_receipt - header.first_receipt + 1;
    comparison.same("receipts in the lake", count, rows.len() as u64);
    let mut good = Vec::new();
    for ((place, line), expected) in rows.iter().zip(header.first_receipt..) {
        comparison.same("place of a receipt", expected, *place);
        let Some(signed) = genuine(line) else {
            let what = format!("signature of receipt {place}");
            comparison.same(&what, "its router's", "none");
            continue;
        };
        let receipt = &signed.receipt;
        let last = routers.entry(receipt.router).or_default();
        let what = format!("number of receipt {place} of router {}", receipt.router);
        comparison.same(&what, *last + 1, receipt.number);
        *last = receipt.number;
        let adds_up = receipt.adds_up();
        let what = format!("whether receipt {place} adds up");
        comparison.same(&what, adds_up, !header.refused.contains(place));
        if adds_up {
            good.push(signed);
        }
    }
    comparison.same(
        "how far routers are settled",
        true,
        routers == header.routers,
    );
    good
}

async fn read(chain: &Chain, lake: &Lake, number: u64) -> Result<Option<Batch>, AuditError> {
    let Some(bytes) = lake.get_object(&settlement_file(number)).await? else {
        return Ok(None);
    };
    let network = chain.address().network;
    let batch = Batch::read(&network, number, bytes).map_err(Box::new)?;
    Ok(Some(batch))
}

/// The receipts of a batch in the lake, with their places.
async fn receipts(lake: &Lake, number: u64) -> Result<Vec<(u64, String)>, AuditError> {
    let Some(definition) = tables::definition("receipts") else {
        return Ok(Vec::new());
    };
    let Ok(name) = TableName::new(definition.name) else {
        return Ok(Vec::new());
    };
    let table = match lake.table(&name).await {
        Ok(table) => table,
        Err(OpenTableError::NotFound { .. }) => return Ok(Vec::new()),
        Err(error) => return Err(Box::new(error).into()),
    };
    let wanted = [Constraint {
        column: "batch".to_owned(),
        op: ConstraintOp::Eq(Scalar::Int(i128::from(number))),
    }];
    let files = table.files().await.map_err(Box::new)?;
    let mut found = Vec::new();
    for file in prune(definition, &files, &wanted) {
        for rows in table.read(file).await.map_err(Box::new)? {
            found.extend(of_batch(&table, &rows, number));
        }
    }
    Ok(found)
}

fn of_batch(table: &Table, rows: &arrow::array::RecordBatch, number: u64) -> Vec<(u64, String)> {
    use arrow::datatypes::Int64Type;
    let column = |name: &str| {
        let index = table.schema().index_of(name).ok()?;
        Some(rows.column(index).clone())
    };
    let (Some(batches), Some(places), Some(lines)) =
        (column("batch"), column("place"), column("receipt"))
    else {
        return Vec::new();
    };
    let batches = batches.as_primitive::<Int64Type>();
    let places = places.as_primitive::<Int64Type>();
    let lines = lines.as_string::<i32>();
    (0..rows.num_rows())
        .filter(|&row| batches.value(row).unsigned_abs() == number)
        .map(|row| {
            (
                places.value(row).unsigned_abs(),
                lines.value(row).to_owned(),
            )
        })
        .collect()
}
