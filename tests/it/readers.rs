//! The lake as others see it.

use crate::cluster::{Cluster, text};
use std::path::PathBuf;
use tokio::process::Command;

const COUNT: &str = "
import sys
from deltalake import DeltaTable, QueryBuilder
table = DeltaTable(sys.argv[1])
names = {field.name for field in table.schema().fields}
column = next(name for name in ('slot', 'pubkey', 'worker', 'batch') if name in names)
rows = QueryBuilder().register('t', table).execute(f'select count({column}) as n from t')
print(rows.read_all()['n'][0].as_py())
";

pub async fn deltalake((fixtures, python): (PathBuf, PathBuf)) {
    let blocks = fixtures.join("blocks");
    let cluster = Cluster::over(&[blocks.join("base64"), blocks.join("protobuf")], 3).await;
    let tables = cluster.get("/v1/tables").await;
    for table in tables["tables"].as_array().unwrap() {
        let name = table["name"].as_str().unwrap();
        let counted = Command::new(&python)
            .args(["-c", COUNT])
            .arg(cluster.lake().join(name))
            .output()
            .await
            .unwrap();
        let shown = format!("{name}: {}{}", text(&counted.stdout), text(&counted.stderr));
        assert!(counted.status.success(), "{shown}");
        let counted: i64 = text(&counted.stdout).trim().parse().expect(&shown);
        assert_eq!(
            counted,
            cluster
                .number(&format!("select count(*) from {name}"))
                .await,
            "{name}"
        );
    }
}
