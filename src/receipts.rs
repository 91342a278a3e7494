//! `streamsync receipts`.

use crate::{
    Failure,
    signing::{Asker, RouterArgs, refusal},
};
use reqwest::Method;
use std::{
    collections::{BTreeMap, HashSet},
    fs::File,
    io::{BufRead, BufReader, Write, stdout},
    path::{Path, PathBuf},
    process::ExitCode,
};
use streamsync_core::{Amount, SignedReceipt, WorkerId};

/// Subcommands of `streamsync receipts`.
#[derive(clap::Subcommand)]
pub enum ReceiptsCommand {
    /// Print the receipts of the key's client, one a line, oldest first.
    #[command(after_help = "Example:\n  streamsync receipts list --key acme.json > receipts.jsonl")]
    List {
        #[command(flatten)]
        router: RouterArgs,
        /// Those of all clients; takes a key with the scope `operate`.
        #[arg(long)]
        all: bool,
    },
    /// Check receipts offline: signatures, sums, and that none is there twice.
    #[command(
        after_help = "Example:\n  streamsync receipts verify receipts.jsonl --router 8qbHbw2BbbTHBW1sbeqakYXVKRQM8Ne7pLK7m6CVfeR"
    )]
    Verify {
        /// A signed receipt a line.
        file: PathBuf,
        /// A router whose receipts are believed; may be given several times. Without any, those of
        /// all are.
        #[arg(long = "router", value_name = "ID")]
        routers: Vec<WorkerId>,
    },
}

/// Lists or checks receipts.
pub async fn run(command: ReceiptsCommand) -> Result<ExitCode, Failure> {
    match command {
        ReceiptsCommand::List { router, all } => list(&Asker::new(&router)?, all).await,
        ReceiptsCommand::Verify { file, routers } => verify(&file, &routers),
    }
}

async fn list(asker: &Asker, all: bool) -> Result<ExitCode, Failure> {
    let path = if all {
        "/v1/receipts/all"
    } else {
        "/v1/receipts"
    };
    let mut after: Option<String> = None;
    loop {
        let page = match &after {
            Some(after) => format!("{path}?after={after}"),
            None => path.to_owned(),
        };
        let response = asker
            .send(Method::GET, &page, "application/x-ndjson", Vec::new())
            .await?;
        if !response.status().is_success() {
            return Err(refusal(response).await);
        }
        let next = response.headers().get("streamsync-after");
        let next = next.and_then(|next| next.to_str().ok()).map(str::to_owned);
        stdout().write_all(&response.bytes().await?)?;
        stdout().flush()?;
        if next.is_none() {
            return Ok(ExitCode::SUCCESS);
        }
        after = next;
    }
}

/// What a file of receipts holds.
#[derive(Default)]
struct Checked {
    receipts: u64,
    charged: u128,
    faults: Vec<String>,
    numbers: BTreeMap<WorkerId, Vec<u64>>,
}

fn verify(file: &Path, believed: &[WorkerId]) -> Result<ExitCode, Failure> {
    let lines = BufReader::new(
        File::open(file).map_err(|error| format!("could not open {}: {error}", file.display()))?,
    );
    let mut checked = Checked::default();
    let mut queries = HashSet::new();
    for (index, line) in lines.lines().enumerate() {
        let line = line?;
        if line.trim().is_empty() {
            continue;
        }
        let mut fault = |what: &str| checked.faults.push(format!("line {}: {what}", index + 1));
        let signed: SignedReceipt = match serde_json::from_str(&line) {
            Ok(signed) => signed,
            Err(error) => {
                fault(&format!("is no receipt: {error}"));
                continue;
            }
        };
        let receipt = &signed.receipt;
        if !signed.is_genuine() {
            fault(&format!("is not signed by {}", receipt.router));
        }
        if !believed.is_empty() && !believed.contains(&receipt.router) {
            fault(&format!(
                "is of the router {}, which is not one of those named",
                receipt.router
            ));
        }
        if !receipt.adds_up() {
            fault("charges or splits another amount than its price");
        }
        if !queries.insert(receipt.query) {
            fault(&format!("is the second for the query {}", receipt.query));
        }
        checked.receipts += 1;
        checked.charged += u128::from(receipt.charged.0);
        checked
            .numbers
            .entry(receipt.router)
            .or_default()
            .push(receipt.number);
    }
    for (router, numbers) in &mut checked.numbers {
        numbers.sort_unstable();
        if numbers.windows(2).any(|pair| pair[0] == pair[1]) {
            checked
                .faults
                .push(format!("{router} has signed two receipts with one number"));
        }
        let range = numbers.first().zip(numbers.last());
        let (first, last) = range.map_or((0, 0), |(first, last)| (*first, *last));
        println!(
            "router {router}: {} receipts, numbers {first} to {last}",
            numbers.len()
        );
    }
    let charged = u64::try_from(checked.charged).map_or_else(
        |_| checked.charged.to_string(),
        |units| Amount(units).to_string(),
    );
    println!("{} receipts, {charged} charged", checked.receipts);
    if checked.faults.is_empty() {
        println!("all are signed, add up, and are there once");
        return Ok(ExitCode::SUCCESS);
    }
    for fault in &checked.faults {
        eprintln!("error: {fault}");
    }
    Ok(ExitCode::FAILURE)
}
