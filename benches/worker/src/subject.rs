//! The worker under test.

use crate::{
    Fallible,
    options::Place,
    question::Question,
    rows::{self, Rows},
    sample::{self, Sample},
};
use std::{sync::Arc, time::Duration};
use streamsync_core::{Identity, clock::SystemClock, config::WorkerConfig};
use streamsync_lake::Lake;
use streamsync_worker::Worker;
use tempfile::TempDir;

/// A worker with a cache folder of its own, which goes when it does.
#[derive(Clone)]
pub struct Subject {
    worker: Worker,
    _cache: Arc<TempDir>,
}

impl Subject {
    /// Opens a worker with nothing in its cache.
    pub async fn open(place: &Place, config: &WorkerConfig, lake: &Lake) -> Fallible<Self> {
        std::fs::create_dir_all(&place.folder)?;
        let cache = tempfile::Builder::new()
            .prefix("cache-")
            .tempdir_in(&place.folder)?;
        let config = WorkerConfig {
            cache_folder: Some(cache.path().to_owned()),
            ..config.clone()
        };
        let identity = Identity::from_seed([7; 32]);
        let clock = Arc::new(SystemClock);
        let worker = Worker::open(&config, lake.clone(), identity, clock).await?;
        Ok(Self {
            worker,
            _cache: Arc::new(cache),
        })
    }

    /// The worker itself.
    pub fn worker(&self) -> &Worker {
        &self.worker
    }

    /// Answers, and says how long that took.
    pub async fn time(&self, question: &Question) -> Fallible<Duration> {
        let query = question.query.clone();
        let began = sample::now();
        let answer = self.worker.execute(query).await?;
        let took = sample::now() - began;
        drop(answer);
        Ok(took)
    }

    /// The rows of the answer.
    pub async fn rows(&self, question: &Question) -> Fallible<Rows> {
        let answer = self.worker.execute(question.query.clone()).await?;
        rows::text(&answer.batches)
    }

    /// Answers each of the questions once, one after the other, as a task of the runtime: where
    /// the worker's HTTP server would ask it.
    pub async fn round(&self, questions: &Arc<Vec<Question>>) -> Fallible<Sample> {
        let (subject, questions) = (self.clone(), Arc::clone(questions));
        let task = tokio::spawn(async move {
            let mut sample = Sample::default();
            for question in questions.iter() {
                sample.add([subject.time(question).await?]);
            }
            Ok(sample)
        });
        task.await?
    }

    /// Executions a second of so many tasks, each of which asks one question after the other.
    pub async fn throughput(
        &self,
        questions: &Arc<Vec<Question>>,
        tasks: usize,
        time: Duration,
    ) -> Fallible<f64> {
        let began = sample::now();
        let tasks: Vec<_> = (0..tasks)
            .map(|task| {
                let (subject, questions) = (self.clone(), Arc::clone(questions));
                tokio::spawn(async move {
                    let mut answered = 0_u64;
                    // Each begins elsewhere, so that they do not ask the same at once.
                    let mut all = questions.iter().cycle().skip(task * 61);
                    while sample::now() - began < time {
                        if let Some(question) = all.next() {
                            subject.time(question).await?;
                            answered += 1;
                        }
                    }
                    Fallible::Ok(answered)
                })
            })
            .collect();
        let mut answered = 0;
        for task in tasks {
            answered += task.await??;
        }
        Ok(answered as f64 / (sample::now() - began).as_secs_f64())
    }
}
