//! `streamsync query`.

use crate::{
    Failure,
    settings::Settings,
    signing::{Asker, RouterArgs},
};
use arrow::{
    array::RecordBatch, ipc::reader::StreamReader, util::pretty::pretty_format_batches_with_schema,
};
use clap::ValueEnum;
use reqwest::{Method, Response};
use serde_json::{Value, json};
use std::{
    io::{Cursor, Write, stdout},
    process::ExitCode,
    time::Duration,
};
use streamsync_core::{Amount, Problem, config::TelemetryConfig};
use streamsync_telemetry::Telemetry;
use tracing::Instrument;

/// Flags of `streamsync query`.
#[derive(clap::Args)]
#[command(after_help = "Examples:
  streamsync query 'select slot, transaction_count from blocks order by slot'
  streamsync query 'select * from signatures where signature = $1' --param '\"5VERv8…\"'
  streamsync query 'select count(*) from transactions' --format json --watch 2")]
pub struct Args {
    /// One SELECT.
    sql: String,
    #[command(flatten)]
    router: RouterArgs,
    /// The value of the next placeholder, as JSON; may be given several times.
    #[arg(long = "param", value_name = "JSON", value_parser = parameter)]
    params: Vec<Value>,
    /// How the answer is printed.
    #[arg(long, default_value = "table")]
    format: Format,
    /// Ask again, so many seconds after each answer, until interrupted.
    #[arg(long, value_name = "SECONDS")]
    watch: Option<u64>,
    /// Take the first answer; others are compared with it afterwards.
    #[arg(long)]
    fast: bool,
    /// How long the answer may take, in milliseconds.
    #[arg(long, value_name = "MS")]
    deadline: Option<u64>,
    /// The most that it may cost, in base units of STRM.
    #[arg(long, value_name = "UNITS")]
    max_price: Option<u64>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
enum Format {
    Table,
    Json,
    Ndjson,
    Csv,
    Arrow,
}

impl Format {
    fn media_type(self) -> &'static str {
        match self {
            Self::Table | Self::Arrow => "application/vnd.apache.arrow.stream",
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv",
        }
    }
}

fn parameter(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("{error}; text needs quotes: '\"text\"'"))
}

/// Asks, and prints the answer and, where it is a table, the race.
pub async fn run(args: Args) -> Result<ExitCode, Failure> {
    let asker = Asker::new(&args.router)?;
    let _telemetry = traced()?;
    loop {
        let span = tracing::info_span!("client");
        let code = ask(&asker, &args).instrument(span).await?;
        match args.watch {
            Some(seconds) => tokio::time::sleep(Duration::from_secs(seconds)).await,
            None => return Ok(code),
        }
    }
}

/// Where it is configured in the environment, all that this client asks is traced.
fn traced() -> Result<Option<Telemetry>, Failure> {
    let telemetry = Settings::default().load(Vec::new())?.telemetry;
    if telemetry.traces.is_none() {
        return Ok(None);
    }
    let all = TelemetryConfig {
        trace_ratio: 1.0,
        ..telemetry
    };
    Ok(Some(streamsync_telemetry::start(&all, "client")?))
}

async fn ask(asker: &Asker, args: &Args) -> Result<ExitCode, Failure> {
    let mut body = json!({
        "sql": args.sql,
        "params": args.params,
        "verify": if args.fast { "fast" } else { "quorum" },
    });
    if let Some(deadline) = args.deadline {
        body["deadline_ms"] = json!(deadline);
    }
    if let Some(max_price) = args.max_price {
        body["max_price"] = json!(max_price);
    }
    let accept = args.format.media_type();
    let body = serde_json::to_vec(&body)?;
    let response = asker.send(Method::POST, "/v1/query", accept, body).await?;
    if !response.status().is_success() {
        refuse(response).await;
        return Ok(ExitCode::FAILURE);
    }
    let race = race(&response);
    let body = response.bytes().await?;
    if args.format == Format::Table {
        let reader = StreamReader::try_new(Cursor::new(body), None)?;
        let schema = reader.schema();
        let batches: Vec<RecordBatch> = reader.collect::<Result<_, _>>()?;
        println!("{}", pretty_format_batches_with_schema(schema, &batches)?);
        println!("{race}");
    } else {
        stdout().write_all(&body)?;
        stdout().flush()?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn refuse(response: Response) {
    let status = response.status();
    match response.json::<Problem>().await {
        Ok(problem) => {
            eprintln!("error: {}", problem.detail);
            for racer in problem
                .more
                .get("racers")
                .and_then(Value::as_array)
                .into_iter()
                .flatten()
            {
                let (worker, result) = (&racer["worker"], &racer["result"]);
                let shown = |value: &Value| value.as_str().unwrap_or_default().to_owned();
                eprintln!(
                    "  {} after {} ms: {}",
                    short(&shown(worker)),
                    racer["after_ms"],
                    shown(result)
                );
            }
            if let Some(id) = problem.query_id {
                eprintln!("  query {id}, {}", problem.kind);
            }
        }
        Err(_) => eprintln!("error: the router answered {status}"),
    }
}

/// The race in one line: who won, who confirmed, how long it took, what it read and costs.
fn race(response: &Response) -> String {
    let header = |name: &str| {
        let value = response
            .headers()
            .get(name)
            .and_then(|value| value.to_str().ok());
        value.unwrap_or_default().to_owned()
    };
    let micros: u64 = header("streamsync-latency-us").parse().unwrap_or_default();
    let charged = header("streamsync-charged")
        .parse()
        .map_or(Amount::ZERO, Amount);
    let names = |names: String| {
        names
            .split(',')
            .map(short)
            .collect::<Vec<_>>()
            .join(" and ")
    };
    let confirmed = match header("streamsync-verifiers") {
        verifiers if verifiers.is_empty() => "not yet confirmed".to_owned(),
        verifiers => format!("confirmed by {}", names(verifiers)),
    };
    let against = match header("streamsync-dissenters") {
        dissenters if dissenters.is_empty() => String::new(),
        dissenters => format!(", against {}", names(dissenters)),
    };
    let read = match header("streamsync-snapshot") {
        snapshot if snapshot.is_empty() => "nothing".to_owned(),
        snapshot => snapshot,
    };
    let price = match (charged, header("streamsync-promise").as_str()) {
        (Amount::ZERO, "broken") => "free, as it took too long".to_owned(),
        (Amount::ZERO, _) => "free".to_owned(),
        (charged, _) => charged.to_string(),
    };
    format!(
        "{} rows, won by {}, {confirmed}{against}, in {:.2} ms, reading {read}, {price}",
        header("streamsync-rows"),
        short(&header("streamsync-winner")),
        Duration::from_micros(micros).as_secs_f64() * 1e3,
    )
}

fn short(worker: &str) -> String {
    worker.chars().take(8).collect()
}
