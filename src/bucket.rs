//! `streamsync bucket`.

use crate::{Failure, settings::Settings};
use clap::Subcommand;
use std::process::ExitCode;
use streamsync_bucket::create;

/// `streamsync bucket ...`.
#[derive(Subcommand)]
#[command(after_help = "Examples:
  streamsync bucket create --bucket s3://lake --notify
  streamsync bucket create --bucket s3://lake/mainnet --s3-endpoint http://127.0.0.1:9000    # MinIO")]
pub enum BucketCommand {
    /// Make a bucket, the rules by which it cleans itself, and a queue for its notifications. What is
    /// there already stays.
    Create(CreateArgs),
}

/// Flags of `create`.
#[derive(clap::Args)]
pub struct CreateArgs {
    #[command(flatten)]
    settings: Settings,
    /// Make an SQS queue, and have the bucket tell it of new versions of tables. For AWS and LocalStack.
    #[arg(long)]
    notify: bool,
}

/// Does what is asked.
pub async fn run(command: BucketCommand) -> Result<ExitCode, Failure> {
    let BucketCommand::Create(args) = command;
    let config = args.settings.load(Vec::new())?;
    let created = create(&config.bucket, args.notify).await?;
    let what = match created.is_new {
        true => "made",
        false => "was there",
    };
    println!("bucket {} {what}", created.place.bucket);
    println!(
        "lifecycle rules set for s3://{}/{}",
        created.place.bucket, created.place.prefix
    );
    if let Some(queue) = created.queue {
        println!("queue {queue}; routers listen to it with");
        println!("STREAMSYNC_BUCKET__NOTIFICATIONS={queue}");
    }
    Ok(ExitCode::SUCCESS)
}
