//! A deterministic simulated machine: clock, scheduler, network, disks and power, from one seed.
//!
//! A program written against [`env::Env`] runs here on virtual nanoseconds. Every draw comes from
//! the world's seed, every effect of a node has a number, and a fault can strike between any two.
//! The same seed and the same plan of faults give the same run, digest for digest.
//!
//! # Quick start
//!
//! ```
//! use unplug_sim::{Site, World, WorldConfig, env::{Disk, Env, OpenMode}, fault::Plan};
//!
//! let mut world = World::new(WorldConfig::new(7)); // a seed
//! let node = world.add_node("node", Site::DataCentre, |env| async move { // a program
//!     env.disk().open("/log", OpenMode::Create).await.unwrap();
//!     env.disk().sync_dir("/").await.unwrap(); // without it, some seeds lose the file
//!     Ok(())
//! });
//! world.load(&Plan::power_loss(1_000_000_000)).unwrap(); // a power cut, after one second
//! world.start(node);
//! world.run_until(1_000_000_000);
//! assert_eq!(world.disk(node, |disk| disk.read_dir("/")), Ok(vec!["log".to_owned()])); // a check
//! ```
//!
//! # A program
//!
//! A program is an `async` function, generic over [`env::Env`]: clocks, timers, random numbers,
//! tasks, disk and network come from there, and from nowhere else. It starts anew at each boot of
//! its node, and has to find its way from what is on the disk. It ends with `Ok`, or with a
//! [`env::Refusal`] if it met something that it must not go on from; a panic ends the run.
//!
//! What a client saw is kept outside, for a check at the end: [`SimEnv::observe`] writes it down
//! unless the node has lost its power by then.
//!
//! ```
//! use std::{cell::Cell, rc::Rc};
//! use unplug_sim::{SimEnv, Site, World, WorldConfig, fault::Plan};
//! use unplug_sim::env::{Disk, DiskResult, Env, File, OpenMode, Refusal};
//!
//! /// How often this node was started, this time included.
//! async fn count_boot<E: Env>(env: &E) -> DiskResult<u64> {
//!     let file = env.disk().open("/boots", OpenMode::Create).await?;
//!     file.append("x".into()).await?;
//!     file.sync_all().await?; // the bytes
//!     env.disk().sync_dir("/").await?; // the name
//!     Ok(file.metadata().await?.len)
//! }
//!
//! let boots = Rc::new(Cell::new(0));
//! let seen = Rc::clone(&boots);
//! let mut world = World::new(WorldConfig::new(7));
//! let node = world.add_node("node", Site::DataCentre, move |env: SimEnv| {
//!     let seen = Rc::clone(&seen);
//!     async move {
//!         let count = count_boot(&env).await.map_err(|error| Refusal::new(error.to_string()))?;
//!         env.observe("booted", count, |_at_ns| seen.set(count));
//!         Ok(())
//!     }
//! });
//! world.load(&Plan::power_loss(1_000_000_000)).unwrap();
//! world.start(node);
//! world.run_until(2_000_000_000);
//! assert_eq!((boots.get(), world.ended()), (2, vec![]));
//! ```
//!
//! # A plan of faults
//!
//! Faults come as a plan: losses of power, killed, paused and slow processes, partitions, wrong
//! clocks, and disks that are lost, fail, fill up or get slow, each at a time, or beside an effect
//! of a node. A plan is data: drawn from a seed, or read from JSON, whose whole form is in
//! [`fault`].
//!
//! ```
//! # use unplug_sim::{Site, World, WorldConfig, env::{Disk, Env, OpenMode}, fault::Plan};
//! # let mut world = World::new(WorldConfig::new(7));
//! # let node = world.add_node("node", Site::DataCentre, |env| async move {
//! #     env.disk().open("/log", OpenMode::Create).await.unwrap();
//! #     env.disk().sync_dir("/").await.unwrap();
//! #     Ok(())
//! # });
//! // The power goes just before the end of the node's first sync: the second of its sync effects.
//! let plan: Plan = serde_json::from_str(r#"{"faults": [{
//!     "when": {"from_ns": 0, "on": {"node": "node", "effect": "sync", "nth": 2, "edge": "before"}},
//!     "what": {"power_loss": {"target": {"node": "node"}, "down_ns": 1000000}}}]}"#).unwrap();
//! world.load(&plan).unwrap(); // or an error that names the fault and what is wrong with it
//! world.start(node);
//! world.run_until(1_000_000_000);
//! assert_eq!(world.crashes()[0].unsynced, 1); // the name of the file
//! ```
//!
//! # A seed again
//!
//! A seed and a plan are all that there is to a run. To look into one that failed, run it again
//! with a recorder, which changes nothing:
//!
//! ```
//! # use std::{cell::RefCell, rc::Rc};
//! # use unplug_sim::{Event, Recorder, Site, World, WorldConfig, env::{Disk, Env, OpenMode}};
//! let run = |seed, recorder: Option<Recorder>| {
//!     let mut world = World::new(WorldConfig::new(seed));
//!     recorder.into_iter().for_each(|recorder| world.record(recorder));
//!     // Add the nodes, load the plan, then:
//! #   let node = world.add_node("node", Site::DataCentre, |env| async move {
//! #       env.disk().open("/log", OpenMode::Create).await.unwrap();
//! #       Ok(())
//! #   });
//! #   world.start(node);
//!     world.run_until(1_000_000_000);
//!     world.digest()
//! };
//! let lines = Rc::new(RefCell::new(Vec::new()));
//! let kept = Rc::clone(&lines);
//! let recorder = Box::new(move |event: Event| kept.borrow_mut().push(event.to_string()));
//! assert_eq!(run(7, None), run(7, Some(recorder)));
//! assert!(lines.borrow()[1].contains("open /log"), "{:?}", lines.borrow());
//! ```
//!
//! # A disk without a world
//!
//! [`disk::Disk`] is a plain value with calls that return at once. Whatever writes through it can
//! be stopped anywhere, and each state looked at that a power cut may leave:
//!
//! ```
//! use unplug_sim::{disk::Disk, env::OpenMode};
//!
//! let mut disk = Disk::new();
//! disk.put_durable("/balance", b"old")?;
//! let file = disk.open("/balance.new", OpenMode::CreateNew)?;
//! disk.append(file, b"new")?;
//! disk.sync_file(file)?; // without it, the file may be there and empty
//! disk.rename("/balance.new", "/balance")?;
//! for mut state in disk.outcomes() {
//!     let file = state.open("/balance", OpenMode::Read)?;
//!     let bytes = state.read_at(file, 0, 100)?;
//!     assert!(bytes == "old" || bytes == "new", "{bytes:?}");
//! }
//! # Ok::<(), unplug_sim::env::DiskError>(())
//! ```
//!
//! # Examples
//!
//! Each is run with `cargo run --release -p unplug-sim --example NAME`.
//!
//! | example | what |
//! |---|---|
//! | `wal_kv` | a key-value store with a write-ahead log; with `--bug missing-dir-sync` it loses what it acknowledged |
//! | `redb` | redb, as it is published, on a [`disk::Disk`]: crashed at every storage operation |
//! | `lease` | a leader's lease; with `--bug wall-clock` a step of a clock makes two leaders |
//!
//! # Modules
//!
//! | module | what |
//! |---|---|
//! | [`mod@env`] | the contract between a node and its machine |
//! | [`World`] | a cluster of machines and the loop that runs it |
//! | [`fault`] | plans of faults, as data |
//! | [`disk`] | the disk model: what a power cut may leave, usable without a world |
//! | [`random`] | labelled random streams |

pub mod disk;
pub mod env;
pub mod fault;
pub mod random;
pub mod testing;

mod budget;
mod clock;
mod config;
mod disk_trouble;
mod disk_watch;
mod disturbance;
mod event;
mod fired;
mod glitch;
#[cfg(test)]
mod growth;
mod inspect;
mod keep;
mod links;
mod machine;
mod machine_disk;
mod net;
mod partition;
mod pause;
mod plan;
mod power;
mod queue;
mod recording;
mod schedule;
mod shared;
mod slab;
mod state;
mod strike;
mod timer;
mod trace;
mod transfer;
mod world;

pub use budget::{Budget, Overrun, Watcher, Whereabouts};
pub use config::{
    Bandwidth, ClockConfig, DiskTiming, NanosRange, NetworkConfig, Ratio, Site, Weight, WorldConfig,
};
pub use disk_watch::{DiskEffect, DiskMoment, DiskWatcher};
pub use event::{
    Change, Doing, Effect, Event, Failed, Happening, Log, Loss, Lost, MessageId, TaskName, What,
};
pub use fired::{Crash, End, Ended, Fired};
pub use inspect::{Content, FileView, InboxView, NodeView, TaskView, Wait};
pub use machine::{SimEnv, SimNet, SimSocket, WALL_START_NS};
pub use machine_disk::{SimDisk, SimFile};
pub use net::INBOX_DATAGRAMS_MAX;
pub use plan::PlanError;
pub use schedule::Schedule;
pub use state::MarkHit;
pub use trace::{Digest, EffectKind, Recorder};
pub use world::{Stop, World};
