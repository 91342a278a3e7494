//! What a network of many workers can do, by simulation.
//!
//! Selection, races, circuit breakers, health and reputation are the product's own code
//! (`streamsync-race`, `streamsync-registry`); the workers, the network and the time are imagined.
//! The same seed gives the same output, to the letter.

mod event;
mod report;
mod service;
mod settings;
mod simulation;

use clap::Parser;
use settings::{Scenario, Settings};
use simulation::simulate;
use streamsync_core::config::Policy;

fn main() {
    let settings = Settings::parse();
    println!("{}", report::assumptions(&settings));
    let ask = |scenario: Scenario| simulate(&settings, &scenario);
    if settings
        .only
        .is_none_or(|only| only == settings::Part::Capacity)
    {
        println!("{}", report::capacity(&settings, ask));
    }
    if settings
        .only
        .is_none_or(|only| only == settings::Part::Sweep)
    {
        let base = Scenario {
            workers: settings.sweep_workers,
            rate: settings.sweep_rate_per_worker * settings.sweep_workers as f64,
            ..Scenario::default()
        };
        println!("{}", report::header("racers"));
        for racers in 1..=7 {
            let scenario = Scenario {
                racers,
                needed: racers.min(3),
                ..base
            };
            println!("{}", report::row(&format!("{racers}"), &ask(scenario)));
        }
        println!("\n{}", report::header("policy"));
        for (name, policy) in [("full", Policy::Full), ("hedged", Policy::Hedged)] {
            println!("{}", report::row(name, &ask(Scenario { policy, ..base })));
        }
        println!("\n{}", report::header("failing queries"));
        for failing in [0.0, 0.01, 0.05, 0.2] {
            let name = format!("{}%", failing * 100.0);
            println!("{}", report::row(&name, &ask(Scenario { failing, ..base })));
        }
        println!("\n{}", report::header("slow workers (50x)"));
        for slow in [0.0, 0.05, 0.1, 0.2, 0.4] {
            let name = format!("{}%", slow * 100.0);
            println!("{}", report::row(&name, &ask(Scenario { slow, ..base })));
        }
        println!("\n{}", report::header("dying workers"));
        for dying in [0.0, 0.1, 0.3, 0.5] {
            let name = format!("{}%", dying * 100.0);
            println!("{}", report::row(&name, &ask(Scenario { dying, ..base })));
        }
    }
}
